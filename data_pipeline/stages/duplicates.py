"""Exact and near duplicates: features of each partition in workers, then one decision over the whole corpus."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.dedup.bands import Clusters
from data_pipeline.dedup.corpus import Corpus
from data_pipeline.dedup.dedup import Dedup, clusters_of, none_of
from data_pipeline.dedup.guards import check_losses
from data_pipeline.dedup.keep import NoKeepValue
from data_pipeline.dedup.planted import sampled
from data_pipeline.documents import Removals, keys_of
from data_pipeline.ledger import Book
from data_pipeline.output_dir import CLUSTERS, REMOVED
from data_pipeline.records import Part
from data_pipeline.stages.clusters import write_clusters
from data_pipeline.stages.corpus import StoredCorpus
from data_pipeline.stages.described import describe
from data_pipeline.stages.features import features_path, read_features, write_features
from data_pipeline.stages.removed import named_in, write_evidence
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
from data_pipeline.stages.view import Slice, View, decision_path
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

    code = (
        "dedup",
        "stages/clusters.py",
        "stages/corpus.py",
        "stages/described.py",
        "stages/duplicates.py",
        "stages/features.py",
        "stages/removed.py",
    )
    libraries = ("datasketch", "numpy", "pyarrow", "xxhash")

    def __init__(self, place: Workplace, dedup: Dedup, raw: dict[str, Any]) -> None:
        super().__init__(place)
        self._dedup, self._raw = dedup, raw

    def _without(self, names: frozenset[str]) -> dict[str, Any]:
        return {name: value for name, value in self._raw.items() if name not in names}

    @property
    def _measured(self) -> dict[str, Any]:
        """The settings that what is measured of a document depends on."""
        return self._without(self._dedup.near_alone | self._dedup.order_alone)

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
            return decide(self, view, before, none_of("exact_duplicate"), None, [])
        files: list[Path] = []
        measure = _Measure(self._dedup, self.folder)
        with progress(self.name, int(view.sizes.sum()), "B", "text") as meter:
            for name, facts in do_parts(self.place.executor, self.records, self._tasks(view), measure):
                files += self.records.files(name)
                meter.add(facts["utf8_bytes"])
        parts = [read_features(self.folder, partition.name) for partition in view.partitions if partition.num_docs]
        removals = none_of("exact_duplicate")
        if self._dedup.seeks_exact:
            removals = self._dedup.exact(parts, self._preference(view))
        return decide(self, view, before, removals, None, files)

    def _tasks(self, view: View) -> Iterator[Task[Slice]]:
        for piece in view.slices(view.alive):
            key = hash_json([self._measured, self.code_hash, piece.content_hash])
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
            return decide(self, view, before, none_of("near_duplicate"), None, [])
        description = self._dedup.describe()
        if description and len(view.positions) > 1:
            print(f"{self.name}: {description.splitlines()[0]}", file=sys.stderr)
        folder = self.place.work / EXACT
        parts = [read_features(folder, piece.partition.name, piece.mask) for piece in view.slices(view.alive)]
        corpus = StoredCorpus(self, view, hash_json([self._measured, self.code_hash]))
        result = self._dedup.near(parts, corpus, self._preference(view))
        facts = {"counts": result.counts | self._tested(view, corpus), "remark": description}
        outcome = decide(self, view, before, result.removals, result.clusters, [], facts)
        sources = list(view.source_masks())
        source_of = sum(number * mask[view.positions] for number, (_, mask) in enumerate(sources))
        names = [name for name, _ in sources]
        check_losses(result.removals, np.asarray(source_of), names, self._dedup.max_loss_frac, corpus.texts_at)
        return outcome

    def _tested(self, view: View, corpus: Corpus) -> dict[str, int]:
        """Return what planted near-duplicates say of the settings. Taken after the search, when texts are at hand."""
        tested = self._dedup.test_on(corpus.texts_at(sampled(len(view.positions))))
        if tested is None:
            return {}
        print(f"{self.name}: {tested}", file=sys.stderr)
        return tested.counts


def decide(
    stage: Stage,
    view: View,
    before: Book,
    removals: Removals,
    clusters: Clusters | None,
    files: list[Path],
    facts: dict[str, Any] | None = None,
) -> Outcome:
    """Write a decision over the whole corpus: which documents go, the evidence of each, and the clusters.

    Args:
        view: before the decision; positions count in it.
        clusters: None: what the removals connect.
        files: of the parts that led to it.
        facts: for reports.
    """
    gone = view.positions[removals.positions]
    book = account_decision(view, gone, [removals.reason] * len(gone), before)
    clusters = clusters_of(removals) if clusters is None else clusters
    executor, folder = stage.place.executor, stage.place.output_dir
    named = np.union1d(named_in(view, [removals]), view.positions[clusters.documents])
    described = describe(executor, view, stage.name, named)
    written = [
        *write_evidence(executor, folder / REMOVED / stage.name, stage.name, view, [removals], described),
        *write_clusters(executor, folder / CLUSTERS / stage.name, view, clusters, removals, described),
    ]
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
