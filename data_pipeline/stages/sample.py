"""Sample: of a source that is to give less than it has, which training documents are kept, by lot.

It stands behind decontamination, where the documents of validation are known, of which none goes, and what is left is
what is trained on: a share or a budget is one of that. Duplicates are sought in the whole corpus, once: another share
is another decision, and nothing before it is done anew. Who wants to save the work before it reads fewer files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.documents import Removals
from data_pipeline.ledger import Book
from data_pipeline.mix.mix import Mix
from data_pipeline.mix.sample import REASON, kept
from data_pipeline.output_dir import REMOVED
from data_pipeline.stages.described import describe
from data_pipeline.stages.lots import lots_of
from data_pipeline.stages.removed import write_evidence
from data_pipeline.stages.stage import Outcome, Stage, Workplace, account_decision, bytes_in_and_removed
from data_pipeline.stages.view import View, decision_path
from data_pipeline.storage import write_arrays
from foundation.hashes import hash_bytes
from foundation.progress import human


class Sample(Stage):
    """Removes training documents of the sources that `mix.keep` names; the evidence holds the beginning of each."""

    name = "sample"
    title = "down-sampling"
    code = (
        "mix/lots.py",
        "mix/sample.py",
        "stages/described.py",
        "stages/lots.py",
        "stages/removed.py",
        "stages/sample.py",
    )
    libraries = ("numpy", "pyarrow", "xxhash")
    loosen = "mix.keep.<source>= keeps more"
    is_told = True

    def __init__(self, place: Workplace, mix: Mix) -> None:
        super().__init__(place)
        self._mix = mix
        self.is_off = not mix.keep

    def settings(self) -> Any:
        return {"keep": self._mix.keep, "seed": self._mix.seed} if self._mix.keep else {}

    def run(self, view: View, before: Book) -> Outcome:
        goes, limits = np.zeros(len(view.alive), bool), np.full(len(view.alive), np.nan)
        for source, mask in view.source_masks():
            if source not in self._mix.keep or not (mask & view.training).any():
                continue
            indices = np.flatnonzero(mask & view.training)
            lots = lots_of(view, indices, self.name, self._mix.seed)
            chosen = kept(lots, view.sizes[indices], self._mix.keep[source])
            goes[indices[~chosen]] = True
            limits[indices[~chosen]] = lots[~chosen] / 2.0**64
        gone = np.flatnonzero(goes)
        path = decision_path(self.place.work, self.name)
        written = self._write_evidence(view, gone, limits[gone]) if len(gone) else []
        write_arrays(path, {"gone": gone})
        training = view.training & ~goes
        return Outcome(
            output=hash_bytes(gone.astype("<i8").tobytes()),
            book=account_decision(view, gone, REASON, before),
            files=[*written, path],
            facts={
                "bytes_in_and_removed": bytes_in_and_removed(view, gone),
                "training": view.num_left(training),
                "note": self._note(view, training),
            },
        )

    def _write_evidence(self, view: View, gone: np.ndarray, values: np.ndarray) -> list[Path]:
        removals = Removals(REASON, np.searchsorted(view.positions, gone), value=values)
        described = describe(self.place.executor, view, self.name, gone)
        folder = self.place.output_dir / REMOVED / self.name
        return write_evidence(self.place.executor, folder, self.name, view, [removals], described)

    def _note(self, view: View, training: np.ndarray) -> str:
        """Return what is kept of each source that was cut, in documents and in bytes of text."""
        said = []
        for source, mask in view.source_masks():
            if source in self._mix.keep:
                mine = mask & training
                said.append(f"{source}: {mine.sum():,} kept, {human(int(view.sizes[mine].sum()), 'B')} of text")
        return "; ".join(said)
