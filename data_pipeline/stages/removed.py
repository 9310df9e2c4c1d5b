"""The evidence: for every document that was removed, why, by what measure, and what was kept in its place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data_pipeline.documents import SNIPPET_CHARS, Removal
from data_pipeline.executors.executor import Executor
from data_pipeline.stages.view import Slice, View, snippets
from data_pipeline.storage import write_removed

Kept = tuple[str, str]  # id and snippet of the document that was kept


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
    batch: pa.RecordBatch, removals: list[Removal], origin: Origin, kept: list[Kept | None]
) -> list[dict[str, Any]]:
    """Return the rows of storage.REMOVED_SCHEMA.

    Args:
        batch: the documents that were judged, documents.SCHEMA; the removals' positions count in it.
        kept: of each removal, what was kept in its place.
    """
    documents = batch.take(pa.array([removal.position for removal in removals], pa.int64()))
    begins = _begins(documents.column("text"), removals)
    keys = zip(*(documents.column(name).to_pylist() for name in ("id", "file", "row")), strict=True)
    return [
        {
            "id": identifier,
            "source": origin.source,
            "file": origin.file_names[file],
            "row": row,
            "stage": origin.stage,
            "reason": removal.reason,
            "value": removal.value,
            "threshold": removal.threshold,
            "kept_id": witness[0] if witness else None,
            "similarity": removal.similarity,
            "cluster": removal.cluster,
            "test_item": removal.test_item,
            "coverage": removal.coverage,
            "start": removal.start,
            "stop": removal.stop,
            "snippet": begin,
            "kept_snippet": witness[1] if witness and removal.start is None else None,  # of a span it is the same words
        }
        for removal, (identifier, file, row), begin, witness in zip(removals, keys, begins, kept, strict=True)
    ]


def _begins(texts: pa.LargeStringArray, removals: list[Removal]) -> list[str]:
    """Return the beginning of what goes of each text."""
    begins = snippets(texts)
    for place, removal in enumerate(removals):
        if removal.start is not None:
            span = texts[place].as_buffer().to_pybytes()[removal.start : removal.stop]
            begins[place] = span.decode()[:SNIPPET_CHARS]
    return begins


def write_evidence(executor: Executor, folder: Path, stage: str, view: View, removals: list[Removal]) -> list[Path]:
    """Write what a global stage removed, a file a partition.

    Args:
        folder: `removed/<stage>`.
        view: before the removal.
        removals: by ascending position; `kept` is a position.
    Returns:
        The files written.
    """
    witnesses = np.unique(view.positions[[removal.kept for removal in removals if removal.kept is not None]])
    known = _describe(executor, view, witnesses)
    gone = view.positions[[removal.position for removal in removals]]
    mask = np.zeros(len(view.alive), bool)
    mask[gone] = True

    def items() -> Iterator[tuple[Slice, list[Removal], list[Kept | None]]]:
        for piece in view.slices(mask):
            indices = piece.indices()
            first, stop = np.searchsorted(gone, [indices[0], indices[-1] + 1]).tolist()
            places = np.searchsorted(indices, gone[first:stop]).tolist()  # several of one document: spans of it
            mine = removals[first:stop]
            kept = [None if removal.kept is None else known[int(view.positions[removal.kept])] for removal in mine]
            here = [replace(removal, position=at, kept=None) for removal, at in zip(mine, places, strict=True)]
            yield piece, here, kept

    return [path for paths in executor.map(_WriteRows(folder, stage, view.file_names), items()) for path in paths]


def _describe(executor: Executor, view: View, indices: np.ndarray) -> dict[int, Kept]:
    mask = np.zeros(len(view.alive), bool)
    mask[indices] = True
    found = (kept for batch in executor.map(_ids_and_snippets, view.slices(mask)) for kept in batch)
    return dict(zip(indices.tolist(), found, strict=True))


def _ids_and_snippets(piece: Slice) -> list[Kept]:
    batch = piece.load()
    return list(zip(batch.column("id").to_pylist(), snippets(batch.column("text")), strict=True))


class _WriteRows:
    """Runs in a worker."""

    def __init__(self, folder: Path, stage: str, file_names: list[str]) -> None:
        self._folder, self._stage, self._file_names = folder, stage, file_names

    def __call__(self, item: tuple[Slice, list[Removal], list[Kept | None]]) -> list[Path]:
        piece, removals, kept = item
        origin = Origin(self._stage, piece.partition.source, self._file_names)
        rows = rows_of(piece.load(), removals, origin, kept)
        return write_removed(self._folder / f"{piece.partition.name}.parquet", rows)
