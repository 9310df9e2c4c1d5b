"""Counts of paragraphs on disk: those of each partition, and those of the repeated ones, which workers map."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from data_pipeline.dedup.paragraphs import Counted
from data_pipeline.stages.features import StoredArray, read_stored
from data_pipeline.stages.mapped import Mapped
from data_pipeline.storage import write_arrays

COLUMNS = tuple(field.name for field in fields(Counted))


def write_counts(path: Path, counted: Counted) -> None:
    """Write the counts of one partition."""
    write_arrays(path, {name: getattr(counted, name) for name in COLUMNS})


@dataclass(frozen=True, slots=True)
class StoredCounts:
    """The counts of one partition, on disk; the documents are its rows.

    Attributes:
        first_index: of its documents.
    """

    first_index: int
    hashes: StoredArray
    num_documents: StoredArray
    firsts: StoredArray

    @classmethod
    def read(cls, path: Path, first_index: int) -> StoredCounts:
        """Return what `write_counts` wrote.

        Raises:
            DamagedFile: the file is cut short or a bit of it flipped.
        """
        return cls(first_index, *read_stored(path, COLUMNS)[1])

    def __len__(self) -> int:
        return self.hashes.shape[0]

    def of_range(self, number: int, num_ranges: int) -> Counted:
        """Return the counts of one range of hashes, documents by index."""
        hashes = self.hashes.open()
        ends = [np.uint64((each << 64) // num_ranges - (each > 0)) for each in (number, number + 1)]  # the last in them
        start, stop = (bisect_right(hashes, end) for end in ends)  # searchsorted copies an array that is not aligned
        rows = slice(start if number else 0, stop)
        columns = (np.array(column.open()[rows]) for column in (self.hashes, self.num_documents, self.firsts))
        hashes, num_documents, firsts = columns
        return Counted(hashes, num_documents, firsts + self.first_index)


class StoredRepeated:
    """The repeated paragraphs of the corpus: workers map them and share the pages.

    Args:
        path: of the file that is written.
    """

    def __init__(self, path: Path, repeated: Counted) -> None:
        self._mapped = Mapped(path, {name: getattr(repeated, name) for name in COLUMNS})

    def open(self) -> Counted:
        """Return them, mapped."""
        return Counted(**self._mapped.arrays)
