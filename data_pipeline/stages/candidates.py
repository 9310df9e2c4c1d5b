"""The texts that near-duplicates are compared by: each partition is read once, by a worker.

Documents are judged cluster after cluster, and the documents of a cluster lie anywhere. Reading their texts in that
order, a block of them at a time, reads every partition for every block: quadratic in the corpus. What is compared is
written once instead, raw, and read back in any order.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from data_pipeline.dedup.dedup import Measure
from data_pipeline.executors.executor import Executor
from data_pipeline.stages.view import Slice, TextReader, View
from data_pipeline.storage import room_for


class CandidateTexts(TextReader):
    """Texts at any positions, and what is measured of them.

    Args:
        folder: of the stage in work/: what is measured lies there until the stage is finished.
    """

    def __init__(self, view: View, executor: Executor, folder: Path) -> None:
        super().__init__(view)
        self._executor, self._folder = executor, folder

    def measured(self, measure: Measure, positions: np.ndarray) -> Callable[[np.ndarray], list[np.ndarray]]:
        """Measure the documents at these positions in workers; return what gives the rows of any of them.

        Args:
            measure: gives (m,) uint64 and where the row of each text begins; picklable.
            positions: (m,) int64, ascending.
        """
        chosen = np.zeros(len(self._view.alive), bool)
        chosen[self._view.positions[positions]] = True
        pieces = list(self._view.slices(chosen))
        paths = [self._folder / f"{piece.partition.name}.measured" for piece in pieces]
        starts = list(self._executor.map(_WriteMeasured(measure), zip(pieces, paths, strict=True)))
        return _StoredRows(paths, starts, positions)


class _WriteMeasured:
    """Runs in a worker; returns where each row begins."""

    def __init__(self, measure: Measure) -> None:
        self._measure = measure

    def __call__(self, item: tuple[Slice, Path]) -> np.ndarray:
        piece, path = item
        values, starts = self._measure(piece.texts())
        path.parent.mkdir(parents=True, exist_ok=True)
        with room_for(path, values.nbytes), path.open("wb") as file:  # of use to this run alone: nothing is synced
            file.write(values.astype("<u8", copy=False).data)
        return starts


class _StoredRows:
    """Rows of several files, by position.

    Args:
        paths: of the files, in the order of the positions.
        starts: of each file, (its rows + 1,) int64.
        positions: (m,) int64, ascending: of all rows, one file's after the other's.
    """

    def __init__(self, paths: list[Path], starts: list[np.ndarray], positions: np.ndarray) -> None:
        self._paths, self._starts, self._positions = paths, starts, positions
        self._firsts = np.cumsum([0, *(len(each) - 1 for each in starts)])

    def __call__(self, positions: np.ndarray) -> list[np.ndarray]:
        places = np.searchsorted(self._positions, positions)
        numbers = np.searchsorted(self._firsts, places, side="right") - 1
        rows: list[np.ndarray] = [np.zeros(0, np.uint64)] * len(positions)
        for number in np.unique(numbers).tolist():
            here = np.flatnonzero(numbers == number)
            starts = self._starts[number]
            # mapped for this call alone: a process may have only so many files open
            values = np.memmap(self._paths[number], "<u8", "r") if starts[-1] else np.zeros(0, "<u8")
            for at, row in zip(here.tolist(), (places[here] - self._firsts[number]).tolist(), strict=True):
                rows[at] = np.array(values[starts[row] : starts[row + 1]])
        return rows
