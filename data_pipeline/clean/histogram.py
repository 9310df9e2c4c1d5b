"""Histograms of scores that add up: how many documents, and how much text, another limit would take.

A bucket is a score's sign, exponent and first 5 bits of mantissa, so that its borders lie 3 % apart at every size, and
no range need be known before. Histograms of partitions add up to the corpus's, whoever counted them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from data_pipeline.clean.rules import Limit, Scores, broken

_SHIFT = 52 - 5  # bits of a float64 that a bucket leaves out
_MAGNITUDE = np.int64((1 << 63) - 1)


def bucket_of(values: np.ndarray) -> np.ndarray:
    """Return the bucket of each value, (n,) int64, in the order of the values; 0.0 and -0.0 are in one.

    Args:
        values: (n,) float64 without NaN.
    """
    bits = values.view(np.int64)
    ordered = np.where(bits < 0, -(bits & _MAGNITUDE), bits)
    buckets: np.ndarray = ordered >> _SHIFT
    return buckets


def lower_edge(bucket: int) -> float:
    """Return the smallest value of a bucket."""
    ordered = bucket << _SHIFT
    size = float(np.array([abs(ordered)], np.int64).view(np.float64)[0])
    return math.copysign(size, ordered)


@dataclass(frozen=True, slots=True)
class Histogram:
    """Of one limit's score.

    Counted are documents, UTF-8 bytes, and documents that nothing else takes.

    Attributes:
        rows: a bucket and its three counts, by bucket.
        below, above: the three counts of what breaks the limit.
    """

    rows: list[list[int]]
    below: list[int]
    above: list[int]

    def __add__(self, other: Histogram) -> Histogram:
        return Histogram(
            _added([*self.rows, *other.rows]),
            [a + b for a, b in zip(self.below, other.below, strict=True)],
            [a + b for a, b in zip(self.above, other.above, strict=True)],
        )


EMPTY = Histogram([], [0, 0, 0], [0, 0, 0])


def count(limits: tuple[Limit, ...], scores: Scores, sizes: np.ndarray, gone: np.ndarray) -> list[Histogram]:
    """Return the histogram of each limit's score; documents without that score are in none.

    Args:
        limits: of all rules.
        scores: of the documents.
        sizes: (documents,) int64 UTF-8 bytes.
        gone: (documents,) bool: that go by something else than a limit, such as a rule's own decision.
    """
    broken_by = np.zeros((len(limits), len(sizes)), bool)
    for place, limit in enumerate(limits):
        for removals in broken((limit,), scores):
            broken_by[place, removals.positions] = True
    times = broken_by.sum(axis=0) + gone
    histograms: list[Histogram] = []
    for limit, mine in zip(limits, broken_by, strict=True):
        values = scores[limit.score]
        there = np.flatnonzero(~np.isnan(values))
        buckets, places = np.unique(bucket_of(values[there]), return_inverse=True)
        alone = times == mine
        columns = (
            np.bincount(places, minlength=len(buckets)),
            np.bincount(places, sizes[there], minlength=len(buckets)).astype(np.int64),
            np.bincount(places, alone[there], minlength=len(buckets)).astype(np.int64),
        )
        rows = np.stack([buckets, *columns], axis=1).tolist()
        taken = [
            [int(outside.sum()), int(sizes[outside].sum()), int(alone[outside].sum())]
            for outside in (values < limit.least, values > limit.most)
        ]
        histograms.append(Histogram(rows, *taken))
    return histograms


def _added(rows: list[list[int]]) -> list[list[int]]:
    sums: dict[int, list[int]] = {}
    for bucket, *counts in rows:
        held = sums.setdefault(bucket, [0] * len(counts))
        for place, number in enumerate(counts):
            held[place] += number
    return [[bucket, *sums[bucket]] for bucket in sorted(sums)]
