"""The evidence: for every document that was removed, why, by what measure, and what was kept in its place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from data_pipeline.documents import SNIPPET_CHARS, Removal, Removals
from data_pipeline.executors.executor import Executor
from data_pipeline.stages.described import Described, Places
from data_pipeline.stages.view import Slice, View, snippets
from data_pipeline.storage import write_removed


class Kept(NamedTuple):
    """The document that was kept. Attributes: file: its number; row: in it; text: its beginning."""

    file: int
    row: int
    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Origin:
    """Where removed documents come from.

    Attributes:
        file_names: by file number.
    """

    stage: str
    source: str
    file_names: list[str]


def rows_of(
    batch: pa.RecordBatch | pa.Table,
    removals: list[Removal],
    origin: Origin,
    kept: list[Kept | None],
    whole: bool = False,
) -> list[dict[str, Any]]:
    """Return the rows of storage.REMOVED_SCHEMA.

    Args:
        batch: the documents that were judged, documents.SCHEMA without need of metadata; where no span of a text goes,
            its beginning is enough; the removals' positions count in it.
        kept: of each removal, what was kept in its place.
        whole: whether the rows hold the texts: of documents that nothing like is left of.
    """
    documents = batch.take(pa.array([removal.position for removal in removals], pa.int64()))
    begins = _begins(documents.column("text"), removals)
    texts = documents.column("text").to_pylist() if whole else [None] * len(removals)
    keys = zip(*(documents.column(name).to_pylist() for name in ("id", "file", "row")), strict=True)
    return [
        {
            "id": identifier,
            "source": origin.source,
            "file": origin.file_names[file],
            "row": row,
            "stage": origin.stage,
            "reason": removal.reason,
            "rule": None,
            "value": removal.value,
            "threshold": removal.threshold,
            "kept_id": witness.id if witness else None,
            "kept_file": origin.file_names[witness.file] if witness else None,
            "kept_row": witness.row if witness else None,
            "similarity": removal.similarity,
            "cluster": removal.cluster,
            "test_item": removal.test_item,
            "coverage": removal.coverage,
            "start": removal.start,
            "stop": removal.stop,
            "snippet": begin,
            "kept_snippet": witness.text if witness and removal.start is None else None,  # else the same
            "text": text,
        }
        for removal, (identifier, file, row), begin, witness, text in zip(
            removals, keys, begins, kept, texts, strict=True
        )
    ]


def _begins(texts: pa.LargeStringArray | pa.ChunkedArray, removals: list[Removal]) -> list[str]:
    """Return the beginning of what goes of each text."""
    begins = snippets(texts)
    for place, removal in enumerate(removals):
        if removal.start is not None:
            span = texts[place].as_buffer().to_pybytes()[removal.start : removal.stop]
            begins[place] = span.decode()[:SNIPPET_CHARS]
    return begins


def named_in(view: View, removals: Sequence[Removals]) -> np.ndarray:
    """Return the indices of all documents that evidence names, ascending: that go, lose a span, or stay for them."""
    columns = (column for each in removals for column in (each.positions, each.kept) if column is not None)
    indices: np.ndarray = view.positions[np.unique(np.concatenate([np.zeros(0, np.int64), *columns]))]
    return indices


def write_evidence(
    executor: Executor, folder: Path, stage: str, view: View, removals: Sequence[Removals], described: Described
) -> list[Path]:
    """Write what a global stage removed, a file a partition.

    Args:
        folder: `removed/<stage>`.
        view: before the removal.
        removals: by reason; `kept` and `cluster` are positions.
        described: the documents of `named_in`.
    Returns:
        The files written.
    """
    gone = [view.positions[each.positions] for each in removals]
    mask = np.zeros(len(view.alive), bool)
    for indices in gone:
        mask[indices] = True

    def items() -> Iterator[_Evidence]:
        for piece in view.slices(mask):
            indices = piece.indices()
            mine: list[tuple[Removals, Places | None]] = []
            for each, of_each in zip(removals, gone, strict=True):
                first, stop = np.searchsorted(of_each, [indices[0], indices[-1] + 1]).tolist()
                places = np.searchsorted(indices, of_each[first:stop])  # several of one document: spans of it
                mine.append(_within(view, each.rows(slice(first, stop)), places, described))
            yield _Evidence(piece, described.places(indices), mine)

    return [path for paths in executor.map(_WriteRows(folder, stage, view.file_names), items()) for path in paths]


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What goes of one partition.

    Attributes:
        own: where its documents that go are described.
        removals: their positions are places among these; where the kept ones are described.
    """

    piece: Slice
    own: Places
    removals: list[tuple[Removals, Places | None]]


def _within(view: View, removals: Removals, places: np.ndarray, described: Described) -> tuple[Removals, Places | None]:
    columns = removals.columns()
    kept = columns.pop("kept", None)
    if "cluster" in columns:
        columns["cluster"] = view.positions[columns["cluster"]]
    here = Removals(removals.reason, places, removals.threshold, **columns)
    return here, None if kept is None else described.places(view.positions[kept])


class _WriteRows:
    """Runs in a worker."""

    def __init__(self, folder: Path, stage: str, file_names: list[str]) -> None:
        self._folder, self._stage, self._file_names = folder, stage, file_names

    def __call__(self, item: _Evidence) -> list[Path]:
        partition = item.piece.partition
        has_spans = any(each.start is not None for each, _ in item.removals)
        documents = item.piece.load() if has_spans else item.own.load()
        pairs: list[tuple[Removal, Kept | None]] = []
        for removals, places in item.removals:
            pairs += zip(removals, [None] * len(removals) if places is None else _kept(places), strict=True)
        pairs.sort(key=lambda pair: pair[0].position)
        origin = Origin(self._stage, partition.source, self._file_names)
        rows = rows_of(documents, [removal for removal, _ in pairs], origin, [kept for _, kept in pairs])
        return write_removed(self._folder / f"{partition.name}.parquet", rows)


def _kept(places: Places) -> list[Kept]:
    documents = places.load()
    return [Kept(**row) for row in documents.select(Kept._fields).to_pylist()]
