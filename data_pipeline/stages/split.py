"""Split: which documents are held out for validation, by the hash of their keys."""

from __future__ import annotations

from typing import Any

import numpy as np

from data_pipeline.ledger import Book
from data_pipeline.mix.split import HeldOut
from data_pipeline.stages.stage import Outcome, Stage, Workplace, account_decision
from data_pipeline.stages.view import View, decision_path
from data_pipeline.storage import write_arrays
from foundation.hashes import hash_bytes


class Split(Stage):
    """Removes nothing: marks the documents of the validation set.

    Args:
        raw: the plain config of `mix`.
    """

    name = "split"
    title = "held-out split"
    code = ("mix", "stages/split.py")
    libraries = ("numpy", "xxhash")

    def __init__(self, place: Workplace, held_out: HeldOut, raw: dict[str, Any]) -> None:
        super().__init__(place)
        self._held_out, self._raw = held_out, raw

    def settings(self) -> Any:
        return self._raw

    def run(self, view: View, before: Book) -> Outcome:
        positions = view.positions
        held_out = positions[self._held_out.is_held_out(view.files[positions], view.rows[positions])]
        training = view.alive.copy()
        training[held_out] = False
        path = decision_path(self.place.work, self.name)
        write_arrays(path, {"held_out": held_out})
        return Outcome(
            output=hash_bytes(held_out.astype("<i8").tobytes()),
            book=account_decision(view, np.zeros(0, np.int64), [], before),
            files=[path],
            facts={"note": f"{len(held_out):,} held out for validation", "training": view.num_left(training)},
        )
