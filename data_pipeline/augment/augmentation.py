"""The seat of `augment=`: which training documents get copies, and what is changed in a copy."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
import pyarrow as pa

from data_pipeline.augment.lots import chosen
from data_pipeline.documents import MOST_COPIES
from foundation.errors import SettingError, require

NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")


class Augmentation(ABC):
    """What `augment=` builds: one change, several, or none."""

    @abstractmethod
    def changes(self) -> dict[str, Change]:
        """Return the changes by name, in the order in which their copies are numbered."""


class Change(Augmentation):
    """One change: each document that is chosen gets copies that are changed so.

    A change of your own, in a file `my_changes.py` beside the command:

        import pyarrow as pa
        from data_pipeline.augment.augmentation import Change

        class Shout(Change):
            name = "shout"

            def change(self, batch, seeds):
                texts = batch.column("text").to_pylist()
                return pa.array([text.upper() for text in texts], pa.large_string())

        python -m data_pipeline extra_targets='[my_changes.]' '+augment={_target_:my_changes.Shout,frac:0.1}'

    Attributes:
        name: of the change where it stands alone: in the ids of its copies, `<id>#<name>-<copy>`, and in the ledger.

    Args:
        frac: share of the training documents that get copies. Whether one does depends on its text, the seed and the
            change's name alone; a larger share chooses the same ones and more.
        copies: of each of these.
        seed: another seed chooses other documents, and changes other things in them.
    Raises:
        SettingError: a value that can't work.
    """

    name: str

    def __init__(self, frac: float = 0.1, copies: int = 1, seed: int = 0) -> None:
        require(0 < frac <= 1, "frac", frac, "a share above 0, up to 1; augment=none makes no copies")
        require(1 <= copies <= MOST_COPIES, "copies", copies, f"a number of copies from 1 to {MOST_COPIES:,}")
        require(0 <= seed < 2**64, "seed", seed, "a number from 0 to below 2^64")
        self.frac, self.copies, self.seed = frac, copies, seed

    def changes(self) -> dict[str, Change]:
        return {self.name: self}

    @abstractmethod
    def change(self, batch: pa.RecordBatch, seeds: np.ndarray) -> pa.LargeStringArray:
        """Return the texts of one copy of each document. Pure: it depends on nothing but a document and its seed.

        Args:
            batch: documents, with documents.SCHEMA.
            seeds: (documents,) uint64, of each copy: what is random comes from them (`lots`).
        """

    def inputs(self) -> list[Path]:
        """Return the files whose bytes decide what becomes of texts: when one changes, the copies are made again.

        Raises:
            GroundworkError: a file is missing or can't be used; asked first, so that no work is done in vain.
        """
        return []

    def packages(self) -> list[str]:
        """Return the packages of an extra that it uses: with another version of one, the copies are made again."""
        return []

    def chosen(self, lots: np.ndarray) -> np.ndarray:
        """Return which documents get copies, (n,) bool; lots: (n,) uint64, as of `lots_of`."""
        return chosen(lots, self.frac)


class NoAugment(Augmentation):
    """Makes no copies."""

    def changes(self) -> dict[str, Change]:
        return {}


class Several(Augmentation):
    """Several changes. Each makes copies of its own, of documents as they are, never of another change's copies.

    Args:
        kinds: name -> change. The copies are numbered in the order of the names: that of the keys in a config changes
            nothing.
    Raises:
        SettingError: there is none, a name can't be part of an id, or they make too many copies of a document.
    """

    def __init__(self, kinds: dict[str, Change]) -> None:
        require(bool(kinds), "kinds", kinds, "one change or more; augment=none makes no copies")
        for name in kinds:
            if not NAME.fullmatch(name):
                raise SettingError(f"kinds: {name!r} is part of ids; give up to 40 letters, digits, '_' and '-'")
        total = sum(change.copies for change in kinds.values())
        require(total <= MOST_COPIES, "kinds", total, f"changes with up to {MOST_COPIES:,} copies together")
        self._kinds = dict(sorted(kinds.items()))

    def changes(self) -> dict[str, Change]:
        return dict(self._kinds)
