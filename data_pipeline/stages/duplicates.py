"""Exact and near duplicates: features of each partition in workers, then one decision over the whole corpus."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.dedup.dedup import Dedup
from data_pipeline.dedup.keep import NoKeepValue
from data_pipeline.dedup.planted import MAX_DOCUMENTS, SelfTest
from data_pipeline.documents import Removal, keys_of
from data_pipeline.ledger import Book
from data_pipeline.losses import DuplicateLimit
from data_pipeline.output_dir import DEDUPLICATION, REMOVED
from data_pipeline.records import Part, keep_only
from data_pipeline.stages.deduplication import write_summary
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

    code = ("dedup", "stages/deduplication.py", "stages/duplicates.py", "stages/features.py", "stages/removed.py")
    libraries = ("datasketch", "numpy", "pyarrow", "xxhash")

    def __init__(self, place: Workplace, dedup: Dedup, raw: dict[str, Any]) -> None:
        super().__init__(place)
        self._dedup, self._raw = dedup, raw

    def _without(self, names: frozenset[str]) -> dict[str, Any]:
        return {name: value for name, value in self._raw.items() if name not in names | self._dedup.limits}

    def check(self, books: Sequence[tuple[str, Book]]) -> None:
        """What is gone by now, exact and near duplicates together, may be too much of a source."""
        mine = [(stage, book) for stage, book in books if stage in (EXACT, NEAR)]
        DuplicateLimit(self._dedup.max_loss_frac).check(mine, self.place.output_dir / REMOVED)

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
        return self._without(frozenset())

    def run(self, view: View, before: Book) -> Outcome:
        keep_only(self.place.output_dir / DEDUPLICATION, [])  # it describes what is about to change
        if not self._dedup.seeks_near:
            return decide(self, view, before, [], [])
        description = self._dedup.describe()
        if description and len(view.positions) > 1:
            for line in description.splitlines():
                print(f"{self.name}: {line}", file=sys.stderr)
        folder = self.place.work / EXACT
        parts = [read_features(folder, piece.partition.name, piece.mask) for piece in view.slices(view.alive)]
        texts_of = TextReader(view)
        with progress(self.name, len(view.positions), "docs") as meter:
            result = self._dedup.near(parts, texts_of, meter, self._preference(view))
        tested = self._tested(view, texts_of)
        files = write_summary(self.place.output_dir / DEDUPLICATION, view, texts_of, result, tested)
        counts = result.counts | (tested.counts if tested is not None else {})
        return decide(self, view, before, result.removals, files, {"counts": counts, "remark": description})

    def _tested(self, view: View, texts_of: TextReader) -> SelfTest | None:
        """Return what planted near-duplicates say of the settings. Taken after the search, when texts are at hand."""
        sample = np.unique(np.linspace(0, len(view.positions) - 1, min(len(view.positions), MAX_DOCUMENTS)).astype(int))
        tested = self._dedup.test_on(texts_of(sample[sample >= 0]))
        for line in str(tested).splitlines() if tested is not None else []:
            print(f"{self.name}: {line}", file=sys.stderr)
        return tested


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
