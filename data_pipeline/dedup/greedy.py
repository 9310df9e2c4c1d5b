"""The kernel of verification: takes documents in keep order, compares each with the kept ones it shares a band with.

Documents are named by their rank in keep order. Removed documents never enter a bucket, so a cluster of n copies costs
n comparisons, not n^2. All kernels stand in this file: numba's cache on disk doesn't notice a change of another's.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

KEPT = -1


class Links(NamedTuple):
    """Which buckets each rank is in: those of rank r are buckets[starts[r] : starts[r + 1]].

    Attributes:
        starts: (k + 1,) int64. buckets: (m,) int64.
    """

    starts: np.ndarray
    buckets: np.ndarray


class KeptRanks(NamedTuple):
    """The kept ranks of each bucket so far: those of bucket b are ranks[starts[b] : starts[b] + sizes[b]].

    Attributes:
        starts: (num_buckets + 1,) int64, room for all members. sizes: (num_buckets,) int64. ranks: (m,) int64.
    """

    starts: np.ndarray
    sizes: np.ndarray
    ranks: np.ndarray


class Sets(NamedTuple):
    """The shingle sets in memory: that of rank r is pool[starts[r] : starts[r] + sizes[r]], sorted, without repeats.

    Attributes:
        pool: (p,) uint64. starts, sizes: (k,) int64.
    """

    pool: np.ndarray
    starts: np.ndarray
    sizes: np.ndarray


class Verdicts(NamedTuple):
    """What was decided. Written rank by rank.

    Attributes:
        witness: (k,) int64, the kept rank that a removed one is similar to, or KEPT.
        similarity: (k,) float64, to the witness; 0 for a kept rank.
        tally: (2,) int64: pairs compared, pairs of these below the threshold.
    """

    witness: np.ndarray
    similarity: np.ndarray
    tally: np.ndarray


@numba.njit(cache=True)
def judge(
    start: int, stop: int, threshold: float, links: Links, kept: KeptRanks, sets: Sets, verdicts: Verdicts
) -> None:
    """Judge the ranks [start, stop), all before `start` being judged; writes to `verdicts` and `kept`.

    A rank goes when a kept one in a bucket of its own has a Jaccard similarity of `threshold` or above. The witness is
    the first such rank in the order of `_candidates`: mostly the most similar one, found without comparing the rest.
    """
    shared = np.zeros(len(verdicts.witness), np.int32)
    for rank in range(start, stop):
        mine = links.buckets[links.starts[rank] : links.starts[rank + 1]]
        for candidate in _candidates(mine, kept, shared):
            similarity = _similarity(rank, candidate, threshold, sets)
            verdicts.tally[0] += 1
            if similarity >= threshold:
                verdicts.witness[rank], verdicts.similarity[rank] = candidate, similarity
                break
            verdicts.tally[1] += 1
        if verdicts.witness[rank] == KEPT:
            for bucket in mine:
                kept.ranks[kept.starts[bucket] + kept.sizes[bucket]] = rank
                kept.sizes[bucket] += 1


@numba.njit(cache=True)
def _similarity(a: int, b: int, threshold: float, sets: Sets) -> float:
    set_a = sets.pool[sets.starts[a] : sets.starts[a] + sets.sizes[a]]
    set_b = sets.pool[sets.starts[b] : sets.starts[b] + sets.sizes[b]]
    return float(jaccard(set_a, set_b, threshold))


@numba.njit(cache=True)
def _candidates(mine: np.ndarray, kept: KeptRanks, shared: np.ndarray) -> np.ndarray:
    """Return the kept ranks of the buckets `mine`, those in most of them first, among equals the lower rank first.

    `shared`, (k,) int32, is all zeros before and after: clearing it by what was touched costs nothing per document.
    """
    room = 0
    for bucket in mine:
        room += kept.sizes[bucket]
    ranks, count = np.empty(room, np.int64), 0
    for bucket in mine:
        for place in range(kept.starts[bucket], kept.starts[bucket] + kept.sizes[bucket]):
            rank = kept.ranks[place]
            if shared[rank] == 0:
                ranks[count] = rank
                count += 1
            shared[rank] += 1
    ranks = np.sort(ranks[:count])
    order = np.argsort(-shared[ranks], kind="mergesort")
    shared[ranks] = 0
    return ranks[order]


@numba.njit(cache=True)
def jaccard(a: np.ndarray, b: np.ndarray, threshold: float = 0.0) -> float:
    """Return |a and b| / |a or b|; 0 as soon as it is certain that this is below the threshold.

    Args:
        a, b: sets as sorted arrays without repeats, neither of them empty.
    """
    needed = int(
        threshold / (1 + threshold) * (len(a) + len(b))
    )  # rounded down: the ratio itself decides at the border
    spare_a, spare_b = len(a) - needed, len(b) - needed  # elements that may be missing in the other set
    i, j, common = 0, 0, 0
    while i < len(a) and j < len(b) and spare_a >= 0 and spare_b >= 0:
        if a[i] == b[j]:
            i, j, common = i + 1, j + 1, common + 1
        elif a[i] < b[j]:
            i, spare_a = i + 1, spare_a - 1
        else:
            j, spare_b = j + 1, spare_b - 1
    if spare_a < 0 or spare_b < 0:
        return 0.0
    return common / (len(a) + len(b) - common)
