"""Pieces and how often each occurs, sorted: as a table gives them, as files, and merged from many of these."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_pipeline.storage import read_arrays, scratch_array, write_arrays
from data_pipeline.tokenize.run_kernels import merge_two


class Counted(NamedTuple):
    """Pieces in the order of `run_kernels.compare_pieces`, each once.

    Attributes:
        data: (bytes,) uint8, end to end.
        ends: (n,) int64, where each ends in it.
        counts: (n,) int64, how often it occurs.
    """

    data: np.ndarray
    ends: np.ndarray
    counts: np.ndarray

    @classmethod
    def empty(cls, num_pieces: int, num_bytes: int) -> Counted:
        """Return room for so many."""
        return cls(np.empty(num_bytes, np.uint8), np.empty(num_pieces, np.int64), np.empty(num_pieces, np.int64))

    @classmethod
    def read(cls, path: Path) -> Counted:
        """Return what `write` wrote.

        Raises:
            DamagedFile: the file is cut short or a bit of it flipped.
        """
        arrays = read_arrays(path)
        return cls(*(arrays[name] for name in cls._fields))

    def write(self, path: Path) -> None:
        """Write them to a file."""
        write_arrays(path, self._asdict())

    def pieces(self) -> Iterator[tuple[bytes, int]]:
        """Yield each piece and its count."""
        data, start = self.data.tobytes(), 0
        for end, count in zip(self.ends.tolist(), self.counts.tolist(), strict=True):
            yield data[start:end], count
            start = end


def merge_runs(runs: list[Counted], folder: Path) -> Counted:
    """Add up runs of counted pieces, the two smallest at a time, so that each piece is looked at log(runs) times.

    Args:
        folder: on the disk that holds what is merged; its files have no names and are gone with the process.
    """
    waiting = [(len(run.data), number, run) for number, run in enumerate(runs)]
    heapq.heapify(waiting)
    number = len(runs)
    while len(waiting) > 1:
        first, second = (heapq.heappop(waiting)[2] for _ in range(2))
        merged = _merged(first, second, folder)
        heapq.heappush(waiting, (len(merged.data), number, merged))
        number += 1
    return waiting[0][2] if waiting else Counted.empty(0, 0)


def on_disk(counted: Counted, folder: Path) -> Counted:
    """Return the same, in files without a name."""
    stored = _room(len(counted.ends), len(counted.data), folder)
    for ours, theirs in zip(stored, counted, strict=True):
        ours[:] = theirs
    return stored


def _room(num_pieces: int, num_bytes: int, folder: Path) -> Counted:
    numbers = (scratch_array(folder, (num_pieces,), np.int64) for _ in range(2))
    return Counted(scratch_array(folder, (num_bytes,), np.uint8), *numbers)


def _merged(first: Counted, second: Counted, folder: Path) -> Counted:
    room = _room(len(first.ends) + len(second.ends), len(first.data) + len(second.data), folder)
    num_pieces, num_bytes = merge_two(first, second, room)
    return Counted(room.data[:num_bytes], room.ends[:num_pieces], room.counts[:num_pieces])
