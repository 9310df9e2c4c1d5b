"""Exact and near duplicates: features of each partition in workers, then one decision over the whole corpus."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.dedup.dedup import Dedup
from data_pipeline.dedup.guards import check_losses
from data_pipeline.dedup.keep import NoKeepValue
from data_pipeline.dedup.planted import MAX_DOCUMENTS
from data_pipeline.documents import Removal, keys_of
from data_pipeline.ledger import Book
from data_pipeline.output_dir import REMOVED
from data_pipeline.records import Part
from data_pipeline.stages.candidates import CandidateTexts
from data_pipeline.stages.features import features_path, read_features, write_features
from data_pipeline.stages.removed import write_evidence
from data_pipeline.stages.stage import (
    Outcome,
    Stage,
    Task,
    Workplace,
    account_decision,
    bytes_in_and_removed,
    do_parts,
    task,
)
from data_pipeline.stages.view import Slice, TextReader, View, decision_path
from data_pipeline.storage import write_arrays
from foundation.errors import GroundworkError
from foundation.hashes import hash_bytes, hash_json
from foundation.progress import progress

EXACT, NEAR = "exact", "near"


class _Duplicates(Stage):
    """What both stages are built from.

    Args:
        raw: the plain config of `dedup`.
    """

    code = ("dedup", "stages/candidates.py", "stages/duplicates.py", "stages/features.py", "stages/removed.py")
    libraries = ("datasketch", "numpy", "pyarrow", "xxhash")

    def __init__(self, place: Workplace, dedup: Dedup, raw: dict[str, Any]) -> None:
        super().__init__(place)
        self._dedup, self._raw = dedup, raw

    def _preference(self, view: View) -> np.ndarray | None:
        """Return what is preferred of each document that is still in, None where nothing is."""
        if not self._dedup.prefers:
            return None
        found = self.place.executor.map(_Prefer(self._dedup, view.file_names), view.slices(view.alive))
        return np.concatenate([np.zeros(0), *found])


class ExactDuplicates(_Duplicates):
    """Measures every document, and removes those whose words equal an earlier one's."""

    name = EXACT
    title = "exact duplicates"
    loosen = "dedup=none removes nothing"

    def settings(self) -> Any:
        """All but those of `near` alone: another threshold measures nothing anew."""
        return self._without(self._dedup.near_alone)

    def _without(self, names: frozenset[str]) -> dict[str, Any]:
        return {name: value for name, value in self._raw.items() if name not in names}

    def run(self, view: View, before: Book) -> Outcome:
        if not (self._dedup.seeks_exact or self._dedup.seeks_near):
            return decide(self, view, before, [], [])
        files: list[Path] = []
        measure = _Measure(self._dedup, self.folder)
        with progress(self.name, int(view.sizes.sum()), "B", "text") as meter:
            for name, facts in do_parts(self.place.executor, self.records, self._tasks(view), measure):
                files += self.records.files(name)
                meter.add(facts["utf8_bytes"])
        parts = [read_features(self.folder, partition.name) for partition in view.partitions if partition.num_docs]
        removals = self._dedup.exact(parts, self._preference(view)) if self._dedup.seeks_exact else []
        return decide(self, view, before, removals, files)

    def _tasks(self, view: View) -> Iterator[Task[Slice]]:
        measured = self._without(self._dedup.near_alone | self._dedup.order_alone)
        for piece in view.slices(view.alive):
            key = hash_json([measured, self.code_hash, piece.content_hash])
            yield task(self.records, piece.partition.name, key, piece)


class NearDuplicates(_Duplicates):
    """Removes documents that are verified to be similar to a kept one."""

    name = NEAR
    title = "near duplicates"
    loosen = "dedup.threshold= sets the limit, dedup=exact removes copies alone"

    def settings(self) -> Any:
        return self._raw

    def run(self, view: View, before: Book) -> Outcome:
        if not self._dedup.seeks_near:
            return decide(self, view, before, [], [])
        description = self._dedup.describe()
        if description and len(view.positions) > 1:
            print(f"{self.name}: {description.splitlines()[0]}", file=sys.stderr)
        folder = self.place.work / EXACT
        parts = [read_features(folder, piece.partition.name, piece.mask) for piece in view.slices(view.alive)]
        texts_of = CandidateTexts(view, self.place.executor, self.folder)
        with progress(self.name, len(view.positions), "docs") as meter:
            result = self._dedup.near(parts, texts_of, meter, self._preference(view))
        facts = {"counts": result.counts | self._tested(view, texts_of), "remark": description}
        outcome = decide(self, view, before, result.removals, [], facts)
        sources = list(view.source_masks())
        source_of = sum(number * mask[view.positions] for number, (_, mask) in enumerate(sources))
        names = [name for name, _ in sources]
        check_losses(result.removals, np.asarray(source_of), names, self._dedup.max_loss_frac, texts_of)
        return outcome

    def _tested(self, view: View, texts_of: TextReader) -> dict[str, int]:
        """Return what planted near-duplicates say of the settings. Taken after the search, when texts are at hand."""
        sample = np.unique(np.linspace(0, len(view.positions) - 1, min(len(view.positions), MAX_DOCUMENTS)).astype(int))
        tested = self._dedup.test_on(texts_of(sample[sample >= 0]))
        if tested is None:
            return {}
        print(f"{self.name}: {tested}", file=sys.stderr)
        return tested.counts


def decide(
    stage: Stage,
    view: View,
    before: Book,
    removals: list[Removal],
    files: list[Path],
    facts: dict[str, Any] | None = None,
) -> Outcome:
    """Write a decision over the whole corpus: which documents go, and the evidence of each.

    Args:
        view: before the decision; the removals' positions count in it.
        files: of the parts that led to it.
        facts: for reports.
    """
    gone = view.positions[[removal.position for removal in removals]]
    book = account_decision(view, gone, [removal.reason for removal in removals], before)
    folder = stage.place.output_dir / REMOVED / stage.name
    written = write_evidence(stage.place.executor, folder, stage.name, view, removals)
    path = decision_path(stage.place.work, stage.name)
    write_arrays(path, {"gone": gone})
    return Outcome(
        output=hash_bytes(gone.astype("<i8").tobytes()),
        book=book,
        files=[*files, *written, path],
        facts={"bytes_in_and_removed": bytes_in_and_removed(view, gone), **(facts or {})},
        utf8_bytes=int(view.sizes[view.alive].sum()),
    )


class _Prefer:
    """Runs in a worker."""

    def __init__(self, dedup: Dedup, file_names: list[str]) -> None:
        self._dedup, self._file_names = dedup, file_names

    def __call__(self, piece: Slice) -> np.ndarray:
        documents = piece.load()
        try:
            return self._dedup.preference(documents, piece.partition.source)
        except NoKeepValue as error:
            files, rows = keys_of(documents)
            place = f"{self._file_names[files[error.position]]}, record {rows[error.position]:,}"
            raise GroundworkError(
                f"dedup.keep_field: {place} (from 0; source {piece.partition.source!r}): {error.found}; every document "
                "must say it: mend the input, name another field, or set another dedup.keep"
            ) from error


class _Measure:
    """Runs in a worker."""

    def __init__(self, dedup: Dedup, folder: Path) -> None:
        self._dedup, self._folder = dedup, folder

    def __call__(self, piece: Slice) -> Part:
        features = self._dedup.features(piece.texts())
        path = features_path(self._folder, piece.partition.name)
        write_features(path, features)
        return Part({"utf8_bytes": piece.partition.utf8_bytes}, [path])
