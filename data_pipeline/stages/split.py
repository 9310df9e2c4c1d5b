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

FEW = 10  # held-out documents: with fewer the validation loss is that of single documents
MOST_ADVISED = 0.1  # of a small corpus: the rest is to be learnt from


class Split(Stage):
    """Removes nothing: marks the documents of the validation set.

    Args:
        raw: the plain config of `mix`.
    """

    name = "split"
    title = "held-out split"
    code = ("mix", "stages/split.py")
    libraries = ("numpy", "xxhash")
    loosen = "mix.held_out_frac= holds out fewer, mix.seed= others"

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
            book=account_decision(view, np.zeros(0, np.int64), "", before),
            files=[path],
            facts={"note": self._note(len(held_out), len(positions)), "training": view.num_left(training)},
        )

    def _note(self, num_held_out: int, num_docs: int) -> str:
        """Return what was held out; and, where that is few, what to type: one document's loss says little."""
        note = f"{num_held_out:,} held out for validation"
        share = min(FEW / num_docs, MOST_ADVISED)
        if num_held_out >= min(FEW, round(share * num_docs)):
            return note
        return f"{note}, which is few: mix.held_out_frac={share:.2g} holds out about {share * num_docs:.0f}"
