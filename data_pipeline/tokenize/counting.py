"""Counting the pieces of many texts: in this process, or partition by partition in workers, and what they found added.

However it is done, the result is the same: counts are added up, and come out sorted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline.records import Part
from data_pipeline.tokenize.counted import Counted, merge_runs, on_disk
from data_pipeline.tokenize.piece_table import PieceTable
from data_pipeline.tokenize.split import SplitName, char_classes

RUNS, BYTES = "runs", "utf8_bytes"  # in the facts of a part
_BATCH_CHARS = 1 << 22


class Adder:
    """Adds up counts in bounded memory.

    Args:
        memory_bytes: that counts may take here; more goes to files.
        folder: of these files, which have no names.
    """

    def __init__(self, memory_bytes: int, folder: Path) -> None:
        self._table, self._folder = PieceTable(memory_bytes), folder
        self._runs: list[Counted] = []  # each of more than twice the bytes of the next: they stay few

    def count(self, texts: pa.LargeStringArray, split: SplitName, max_bytes: int = 0) -> None:
        """Count the pieces of texts; max_bytes: as of `CountPart`."""
        self._keep(self._table.count(texts, split, char_classes(), max_bytes))

    def add(self, counted: Counted) -> None:
        """Add what was counted elsewhere."""
        self._keep(self._table.add(counted))

    def sum(self) -> Counted:
        """Return all, each piece once."""
        return merge_runs([*self._runs, self._table.take()], self._folder)

    def _keep(self, taken: Iterable[Counted]) -> None:
        """Put runs on disk, each merged with those before it that are not much larger: a run keeps files open."""
        for each in taken:
            run = on_disk(each, self._folder)
            while self._runs and len(self._runs[-1].data) <= 2 * len(run.data):
                run = merge_runs([self._runs.pop(), run], self._folder)
            self._runs.append(run)


class CountPart:
    """Counts the pieces of a partition's texts; runs in a worker. Its files are runs: `<prefix>.<number>.npz`.

    Args:
        memory_bytes: that counts may take in a worker; more goes to a further file.
        max_bytes: longer pieces are cut after so many; 0 for no limit.
    """

    def __init__(self, split: SplitName, memory_bytes: int, max_bytes: int = 0) -> None:
        self.settings: dict[str, Any] = {"split": split, "max_bytes": max_bytes}  # memory changes files, not counts
        self._split, self._memory_bytes, self._max_bytes = split, memory_bytes, max_bytes
        self._classes = char_classes()  # asked once, not by each worker

    def __call__(self, texts: pa.LargeStringArray, prefix: Path) -> Part:
        table, paths = PieceTable(self._memory_bytes), list[Path]()
        for counted in self._runs(table, texts):
            paths.append(run_path(prefix, len(paths)))
            counted.write(paths[-1])
        return Part({RUNS: len(paths), BYTES: num_bytes(texts)}, paths)

    def _runs(self, table: PieceTable, texts: pa.LargeStringArray) -> Iterator[Counted]:
        yield from table.count(texts, self._split, self._classes, self._max_bytes)
        yield table.take()


def num_bytes(texts: pa.LargeStringArray) -> int:
    """Return the UTF-8 bytes of all texts."""
    return int(pc.sum(pc.binary_length(texts)).as_py() or 0)


def run_path(prefix: Path, number: int) -> Path:
    """Return the file of a partition's run."""
    return prefix.with_name(f"{prefix.name}.{number}.npz")


def batches(texts: Iterable[str]) -> Iterator[pa.LargeStringArray]:
    """Yield texts some megabytes at a time."""
    batch: list[str] = []
    chars = 0
    for text in texts:
        batch.append(text)
        chars += len(text)
        if chars >= _BATCH_CHARS:
            yield pa.array(batch, pa.large_string())
            batch, chars = [], 0
    if batch:
        yield pa.array(batch, pa.large_string())
