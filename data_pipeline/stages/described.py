"""Ids and beginnings of the documents that evidence names, on disk while it is written: no object of each in memory."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from data_pipeline.documents import SCHEMA
from data_pipeline.executors.executor import Executor
from data_pipeline.stages.view import Slice, View, snippets
from data_pipeline.storage import write_file


@dataclass(frozen=True, slots=True)
class Places:
    """Where described documents are: document i in row rows[i] of paths[numbers[i]]. Small: it is sent to workers.

    Attributes:
        numbers, rows: (m,) int64.
    """

    paths: list[Path]
    numbers: np.ndarray
    rows: np.ndarray

    def load(self) -> pa.Table:
        """Return what is written of them, in their order: file, row, id, and as text the beginning of it."""
        order = np.argsort(self.numbers, kind="stable")
        found = [
            _rows_of(path, self.rows[order[start:stop]])
            for path, (start, stop) in zip(self.paths, self._runs(order), strict=True)
        ]
        table = pa.concat_tables(found) if found else _FIELDS.empty_table()
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        return table.take(pa.array(back)).combine_chunks()

    def _runs(self, order: np.ndarray) -> list[tuple[int, int]]:
        ends = np.searchsorted(self.numbers[order], np.arange(len(self.paths) + 1))
        return list(itertools.pairwise(ends.tolist()))


class Described:
    """Documents whose ids and beginnings are written down.

    Args:
        folder: of the files; they are no output and go when the stage is finished.
        indices: (n,) int64, ascending.
    """

    def __init__(self, folder: Path, view: View, indices: np.ndarray) -> None:
        self._folder, self._view, self._indices = folder, view, indices

    def places(self, indices: np.ndarray) -> Places:
        """Return where some of them are; indices: (m,) int64."""
        parts = np.searchsorted(self._view.starts, indices, side="right") - 1
        used, numbers = np.unique(parts, return_inverse=True)
        firsts = np.searchsorted(self._indices, self._view.starts[parts])
        names = [self._view.partitions[part].name for part in used.tolist()]
        rows = np.searchsorted(self._indices, indices) - firsts
        return Places([_path(self._folder, name) for name in names], numbers, rows)


def describe(executor: Executor, view: View, stage: str, indices: np.ndarray) -> Described:
    """Write down ids and beginnings of documents, a file a partition, in the folder of a stage.

    Args:
        indices: (n,) int64, ascending, each once.
    """
    folder = view.work / stage
    mask = np.zeros(len(view.alive), bool)
    mask[indices] = True
    for _ in executor.map(_Describe(folder), view.slices(mask)):
        pass
    return Described(folder, view, indices)


class _Describe:
    """Runs in a worker."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, piece: Slice) -> None:
        documents = piece.load()
        begins = pa.array(snippets(documents.column("text")), pa.large_string())
        columns = [documents.column("file"), documents.column("row"), documents.column("id"), begins]
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, _FIELDS) as writer:  # not compressed: single rows of it are asked for
            writer.write_batch(pa.record_batch(columns, _FIELDS))
        write_file(_path(self._folder, piece.partition.name), memoryview(sink.getvalue()))


_FIELDS = pa.schema([SCHEMA.field(name) for name in ("file", "row", "id", "text")])


def _path(folder: Path, partition: str) -> Path:
    return folder / f"described-{partition}.arrow"


def _rows_of(path: Path, rows: np.ndarray) -> pa.Table:
    with pa.memory_map(str(path)) as source:
        return pa.Table.from_batches([pa.ipc.open_file(source).get_batch(0).take(pa.array(rows))])
