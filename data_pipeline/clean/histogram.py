"""Histograms of scores that add up: how many documents, and how much text, another limit would take.

The borders of buckets are the numbers that people type: two digits and a power of ten, so that they lie 1 to 10 % apart
at every size, and the limit itself. No range need be known before: histograms of partitions add up to the corpus's,
whoever counted them. A document at a border is on the side where the limit leaves it: every count is exact.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from data_pipeline.clean.rules import Choice, Limit, Scores

SMALLEST, LARGEST = -12, 15  # exponents of the borders nearest 0 and farthest from it
_COUNTS = 3  # documents, UTF-8 bytes, documents that nothing else takes


@functools.cache
def borders() -> np.ndarray:
    """Return the borders, (n,) float64 ascending: `-inf`, 0 and all numbers of two digits, `inf`."""
    sizes = [float(f"{digits}e{power - 1}") for power in range(SMALLEST, LARGEST) for digits in range(10, 100)]
    return np.array([-math.inf, *(-size for size in reversed(sizes)), 0.0, *sizes, math.inf])


@dataclass(frozen=True, slots=True)
class Side:
    """One end of a limit.

    Attributes:
        end: `least`: what lies below goes; `most`: what lies above.
    """

    limit: Limit
    end: Literal["least", "most"]

    @property
    def threshold(self) -> float:
        """The limit; infinite where there is none yet."""
        return self.limit.least if self.end == "least" else self.limit.most

    @property
    def reason(self) -> str:
        """The reason of a document that goes."""
        return self.limit.below if self.end == "least" else self.limit.above

    @property
    def key(self) -> str:
        """The argument that sets it."""
        return self.limit.least_key if self.end == "least" else self.limit.most_key

    @property
    def edges(self) -> np.ndarray:
        """The borders of its buckets, (n,) float64 ascending, its own limit among them."""
        return np.union1d(borders(), [self.threshold])

    def outside(self, values: np.ndarray) -> np.ndarray:
        """Return which values break it, (n,) bool; NaN breaks nothing."""
        outside: np.ndarray = values < self.threshold if self.end == "least" else values > self.threshold
        return outside

    def distance(self, values: np.ndarray) -> np.ndarray:
        """Return how far each value is from the limit, (n,) float64; where there is none, first what one would take."""
        if math.isfinite(self.threshold):
            return np.abs(values - self.threshold)
        return values if self.end == "least" else -values

    def buckets(self, values: np.ndarray) -> np.ndarray:
        """Return the bucket of each value, (n,) int64: the place of the last border at which the limit leaves it.

        That is the greatest border up to it for `least`, the least from it on for `most`.

        Args:
            values: (n,) float64 without NaN.
        """
        if self.end == "least":
            return np.searchsorted(self.edges, values, side="right") - 1
        return np.searchsorted(self.edges, values, side="left")


def sides(limits: Sequence[Limit]) -> list[Side]:
    """Return the ends of limits that a reason is named for, in their order."""
    found = [Side(limit, end) for limit in limits for end in ("least", "most")]
    return [side for side in found if side.reason]


@dataclass(frozen=True, slots=True, eq=False)
class Histograms:
    """Of the scores of several sides. Counted are documents, UTF-8 bytes, and documents that nothing else takes.

    Attributes:
        rows: (n, 5) int64, by side and bucket: the number of the side, the bucket, the three counts.
        taken: (sides, 3) int64: of what breaks the limit.
    """

    rows: np.ndarray
    taken: np.ndarray

    @classmethod
    def empty(cls, num_sides: int) -> Histograms:
        """Return the histograms of no documents."""
        return cls(np.zeros((0, 2 + _COUNTS), np.int64), np.zeros((num_sides, _COUNTS), np.int64))

    def __add__(self, other: Histograms) -> Histograms:
        return Histograms(_added(np.concatenate([self.rows, other.rows])), self.taken + other.taken)

    def of(self, side: int) -> list[list[int]]:
        """Return the rows of one side: bucket and counts."""
        first, stop = np.searchsorted(self.rows[:, 0], [side, side + 1]).tolist()
        rows: list[list[int]] = self.rows[first:stop, 1:].tolist()
        return rows


def times_broken(of: Sequence[Side], scores: Scores, gone: np.ndarray) -> np.ndarray:
    """Return how many reasons each document has to go, (documents,) int64.

    Args:
        of: of the limits of all rules.
        scores: of the documents.
        gone: (documents,) bool: that go by something else than a limit, such as a rule's own decision.
    """
    times = gone.astype(np.int64)
    for side in of:
        times += side.outside(side.limit.values(scores))
    return times


def count(of: Sequence[Side], scores: Scores, sizes: np.ndarray, times: np.ndarray) -> Histograms:
    """Return the histogram of each side's score; documents without that score are in none.

    Args:
        of: of the limits of all rules.
        scores: of the documents.
        sizes: (documents,) int64 UTF-8 bytes.
        times: (documents,) int64 as of `times_broken`.
    """
    histograms = Histograms.empty(len(of))
    rows = [histograms.rows]
    for number, side in enumerate(of):
        values = side.limit.values(scores)
        there = np.flatnonzero(~np.isnan(values))
        values = values[there]
        outside = side.outside(values)
        if not len(there):
            continue
        counts = (np.ones(len(there), np.int64), sizes[there], times[there] == outside)
        histograms.taken[number] = [each[outside].sum() for each in counts]
        buckets = side.buckets(values)
        sums = [np.bincount(buckets, each).astype(np.int64) for each in counts]  # exact below 2^53
        used = np.flatnonzero(sums[0])
        rows.append(np.stack([np.full(len(used), number), used, *(each[used] for each in sums)], axis=1))
    return Histograms(np.concatenate(rows), histograms.taken)


def count_labels(choice: Choice, scores: Scores, sizes: np.ndarray, gone: np.ndarray) -> np.ndarray:
    """Return of each label its documents, their UTF-8 bytes, and how many of both go, (labels, 4) int64.

    Args:
        sizes: (documents,) int64 UTF-8 bytes.
        gone: (documents,) bool: that go, for whatever reason.
    """
    labels = scores[choice.score]
    there = ~np.isnan(labels)
    counts = np.zeros((len(choice.names), 4), np.int64)
    columns = np.stack([np.ones(len(labels), np.int64), sizes, gone, sizes * gone], axis=1)
    np.add.at(counts, labels[there].astype(np.int64), columns[there])
    return counts


def _added(rows: np.ndarray) -> np.ndarray:
    """Return rows of (side, bucket, counts) with those of one bucket summed up, in order."""
    order = np.lexsort((rows[:, 1], rows[:, 0]))
    rows = rows[order]
    firsts = np.flatnonzero(np.r_[True, (np.diff(rows[:, :2], axis=0) != 0).any(axis=1)][: len(rows)])
    if not len(firsts):
        return rows
    sums = np.add.reduceat(rows[:, 2:], firsts, axis=0)
    return np.concatenate([rows[firsts, :2], sums], axis=1)
