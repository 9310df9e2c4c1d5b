"""Copies as a rule of `clean` leaves them: gender swaps, and whatever else a rule changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline.augment.augmentation import NAME, Change
from data_pipeline.clean.rules import Rule
from foundation.errors import require


class ByRule(Change):
    """Makes one copy of each chosen document, and has a rule of `clean` change it.

    Documents that the rule can't read get no copy. Its scores and limits count for nothing here.

    Args:
        rule: e.g. `Bias` with changed_frac=1, for copies in which the words of both genders are swapped.
        name: of the change where it stands alone: part of ids, and named in the ledger.
        frac: share of the training documents that get a copy.
        seed: another seed chooses other documents.
    Raises:
        SettingError: a value that can't work.
    """

    def __init__(self, rule: Rule, name: str = "rule", frac: float = 0.1, seed: int = 0) -> None:
        super().__init__(frac, 1, seed)
        require(bool(NAME.fullmatch(name)), "name", name, "up to 40 letters, digits, '_' and '-'")
        self.name, self._rule = name, rule

    def inputs(self) -> list[Path]:
        return self._rule.inputs()

    def packages(self) -> list[str]:
        return self._rule.packages()

    def change(self, batch: pa.RecordBatch, seeds: np.ndarray) -> pa.LargeStringArray:
        applied = self._rule.apply(batch)
        texts = applied.batch.column("text")
        if not applied.failed:
            return texts
        is_read = np.ones(batch.num_rows, bool)
        is_read[[each.position for each in applied.failed]] = False
        return pc.replace_with_mask(batch.column("text"), pa.array(is_read), texts)
