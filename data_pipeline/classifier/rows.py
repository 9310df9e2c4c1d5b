"""Examples as rows of counted n-grams, and a pool of them that holds no more than a memory allows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

BYTES_AN_NGRAM = 8  # of a different one in a row
BYTES_A_ROW = 24
_SLACK = 1.5  # a pool is cut when it holds so many times what it may: seldom


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Examples in sparse rows.

    Attributes:
        hashes: (n, 2) uint64, of the words of each; equal for examples that no model can tell apart.
        offsets: (n + 1,) int64.
        buckets, counts: (m,) int32; those of row i are [offsets[i] : offsets[i + 1]], buckets ascending.
    """

    hashes: np.ndarray
    offsets: np.ndarray
    buckets: np.ndarray
    counts: np.ndarray

    def __len__(self) -> int:
        return len(self.hashes)

    @classmethod
    def of(cls, hashes: np.ndarray, rows: Iterable[tuple[np.ndarray, np.ndarray]]) -> Rows:
        """Make them of the buckets and counts of each."""
        held = list(rows)
        offsets = np.cumsum([0, *(len(buckets) for buckets, _ in held)], dtype=np.int64)
        empty = np.zeros(0, np.int32)
        buckets = np.concatenate([empty, *(buckets for buckets, _ in held)])
        return cls(hashes, offsets, buckets, np.concatenate([empty, *(counts for _, counts in held)]))

    @classmethod
    def joined(cls, parts: list[Rows]) -> Rows:
        """Lay parts end to end."""
        if not parts:
            return cls.of(np.zeros((0, 2), np.uint64), [])
        sizes = np.concatenate([np.diff(part.offsets) for part in parts])
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        hashes, buckets, counts = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("hashes", "buckets", "counts")
        )
        return cls(hashes, offsets, buckets, counts)

    def take(self, chosen: np.ndarray) -> Rows:
        """Return some of them, in the order of `chosen`, (k,) int64 or (n,) bool."""
        chosen = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        sizes = np.diff(self.offsets)[chosen]
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        places = np.arange(offsets[-1]) + np.repeat(self.offsets[chosen] - offsets[:-1], sizes)
        return Rows(self.hashes[chosen], offsets, self.buckets[places], self.counts[places])

    def sizes_bytes(self) -> np.ndarray:
        """Return what each takes in memory, (n,) int64."""
        return np.diff(self.offsets) * BYTES_AN_NGRAM + BYTES_A_ROW


class Pool:
    """Different examples of one class: all, or as many as fit, those with the smallest hashes.

    Which they are depends on the examples alone, not on their order: what is dropped once would never come back, and
    nothing behind it in the order of hashes is taken any more.

    Args:
        memory_bytes: what it may hold; three times as much is needed while it is cut.
    """

    def __init__(self, memory_bytes: int) -> None:
        self._memory = memory_bytes
        self._parts: list[Rows] = []
        self._held = 0
        self._limit: np.ndarray | None = None  # (2,) uint64, the least hash that is not taken

    def add(self, rows: Rows) -> None:
        """Add examples."""
        if self._limit is not None:
            high, low = rows.hashes[:, 0], rows.hashes[:, 1]
            rows = rows.take((high < self._limit[0]) | ((high == self._limit[0]) & (low < self._limit[1])))
        self._parts.append(rows)
        self._held += int(rows.sizes_bytes().sum())
        if self._held > _SLACK * self._memory:
            self._cut()

    def rows(self) -> Rows:
        """Return those that it holds, by hash, each once."""
        self._cut()
        return self._parts[0]

    def _cut(self) -> None:
        rows = Rows.joined(self._parts)
        order = np.lexsort((rows.hashes[:, 1], rows.hashes[:, 0]))
        in_order = rows.hashes[order]
        fresh = np.ones(len(order), bool)
        fresh[1:] = (in_order[1:] != in_order[:-1]).any(axis=1)
        order = order[fresh]
        fits = np.cumsum(rows.sizes_bytes()[order]) <= self._memory
        if not fits.all():
            self._limit = rows.hashes[order[fits.argmin()]]
        self._parts = [rows.take(order[fits])]
        self._held = int(self._parts[0].sizes_bytes().sum())
