"""Split: which documents are held out for validation, by lot; and the groups of documents that the mixture knows."""

from __future__ import annotations

from typing import Any

import numpy as np

from data_pipeline.ledger import Book
from data_pipeline.mix.groups import named_groups
from data_pipeline.mix.mix import Mix
from data_pipeline.mix.split import held_out
from data_pipeline.stages.grouping import Grouped, Grouping
from data_pipeline.stages.lots import lots_of
from data_pipeline.stages.stage import Outcome, Stage, Workplace, account_decision
from data_pipeline.stages.view import View, decision_path
from data_pipeline.storage import write_arrays
from foundation.hashes import hash_bytes, hash_json

FEW = 10  # held-out documents: with fewer the validation loss is that of single documents
MOST_ADVISED = 0.1  # of a small corpus: the rest is to be learnt from
LISTED = 8  # components in a note


class Split(Stage):
    """Removes nothing: marks the documents of the validation set, and the group of each where there are groups."""

    name = "split"
    title = "held-out split"
    code = (
        "mix/groups.py",
        "mix/lots.py",
        "mix/split.py",
        "stages/fields.py",
        "stages/grouping.py",
        "stages/lots.py",
        "stages/split.py",
    )
    libraries = ("numpy", "orjson", "xxhash")
    loosen = "mix.held_out_frac= holds out fewer, mix.seed= others"

    def __init__(self, place: Workplace, mix: Mix) -> None:
        super().__init__(place)
        self._mix = mix
        self._grouping = None
        if mix.group_by is not None:
            self._grouping = Grouping(mix.group_by, mix.min_group_frac, named_groups(mix.group_weights))

    def settings(self) -> Any:
        settings: dict[str, Any] = {"held_out_frac": self._mix.held_out_frac, "seed": self._mix.seed}
        if self._grouping is not None:
            settings |= {"group_by": self._grouping.field, "named": sorted(self._grouping.named)}
            settings |= {} if self._grouping.named else {"min_group_frac": self._grouping.min_frac}
        return settings

    def run(self, view: View, before: Book) -> Outcome:
        positions = view.positions
        grouped = self._group(view)
        lots = lots_of(view, positions, self.name, self._mix.seed)
        _, sources = view.sources
        chosen = held_out(lots, sources[positions], grouped.numbers[positions], self._mix.held_out_frac)
        indices = positions[chosen]
        training = view.alive.copy()
        training[indices] = False
        path = decision_path(self.place.work, self.name)
        decision = {"held_out": indices}
        output = hash_bytes(indices.astype("<i8").tobytes())
        if self._grouping is not None:
            decision |= {"components": grouped.numbers, "component_names": np.array(grouped.names)}
            output = hash_json([output, grouped.names, hash_bytes(grouped.numbers.astype("<i4").tobytes())])
        write_arrays(path, decision)
        return Outcome(
            output=output,
            book=account_decision(view, np.zeros(0, np.int64), "", before),
            files=[*grouped.files, path],
            facts={
                "note": self._note(len(indices), len(positions)) + self._listed(grouped),
                "training": view.num_left(training),
            },
        )

    def _group(self, view: View) -> Grouped:
        if self._grouping is None:
            return Grouped(*view.sources, [])
        return self._grouping.group(view, self.place.executor, self.records, self.code_hash)

    def _listed(self, grouped: Grouped) -> str:
        if self._grouping is None:
            return ""
        counts = np.bincount(grouped.numbers[grouped.numbers >= 0], minlength=len(grouped.names))
        largest = np.argsort(-counts, kind="stable")[:LISTED].tolist()
        named = ", ".join(f"{grouped.names[number]} {counts[number]:,}" for number in largest)
        more = len(grouped.names) - len(largest)
        return f"; by {self._grouping.field}: {named}{f', {more} more' if more else ''}"

    def _note(self, num_held_out: int, num_docs: int) -> str:
        """Return what was held out; and, where that is few, what to type: one document's loss says little."""
        note = f"{num_held_out:,} held out for validation"
        share = min(FEW / num_docs, MOST_ADVISED)
        if num_held_out >= min(FEW, round(share * num_docs)):
            return note
        return f"{note}, which is few: mix.held_out_frac={share:.2g} holds out about {share * num_docs:.0f}"
