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
        starts: (k + 1,) int64.
        buckets: (m,) int64.
    """

    starts: np.ndarray
    buckets: np.ndarray


class KeptRanks(NamedTuple):
    """The kept ranks of each bucket so far: those of bucket b are ranks[starts[b] : starts[b] + sizes[b]].

    Attributes:
        starts: (num_buckets + 1,) int64, room for all members.
        sizes: (num_buckets,) int64.
        ranks: (m,) int64.
    """

    starts: np.ndarray
    sizes: np.ndarray
    ranks: np.ndarray


class Sets(NamedTuple):
    """The shingle sets in memory: that of rank r is pool[starts[r] : starts[r] + sizes[r]], sorted, without repeats.

    Attributes:
        pool: (p,) uint64.
        starts, sizes: (k,) int64.
    """

    pool: np.ndarray
    starts: np.ndarray
    sizes: np.ndarray


class Sketches(NamedTuple):
    """The signatures in memory: that of rank r is values[places[r]].

    Attributes:
        values: (p, num_perm) uint32.
        places: (k,) int64.
        min_equal: a pair with fewer equal values is not compared; see `lsh.min_equal_values`.
    """

    values: np.ndarray
    places: np.ndarray
    min_equal: int


class Verdicts(NamedTuple):
    """What was decided. Written rank by rank.

    Attributes:
        witness: (k,) int64, the kept rank that a removed one is similar to, or KEPT.
        similarity: (k,) float64, to the witness; 0 for a kept rank.
        tally: (3,) int64: pairs compared, pairs of these below the threshold, pairs that their signatures ruled out.
    """

    witness: np.ndarray
    similarity: np.ndarray
    tally: np.ndarray


@numba.njit(cache=True)
def judge(
    start: int,
    stop: int,
    threshold: float,
    links: Links,
    kept: KeptRanks,
    sets: Sets,
    sketches: Sketches,
    verdicts: Verdicts,
) -> None:
    """Judge the ranks [start, stop), all before `start` being judged; writes to `verdicts` and `kept`.

    A rank goes when a kept one in a bucket of its own, whose signature is close enough, has a Jaccard similarity of
    `threshold` or above. The witness is the first such rank in the order of `_by_shared`: mostly the most similar one,
    found without comparing the rest.
    """
    shared = np.zeros(len(verdicts.witness), np.int32)
    for rank in range(start, stop):
        mine = links.buckets[links.starts[rank] : links.starts[rank + 1]]
        met = _meet(mine, kept, shared)
        close = _close(rank, met, sketches)
        verdicts.tally[2] += len(met) - len(close)
        for candidate in _by_shared(close, shared):
            similarity = _similarity(rank, candidate, threshold, sets)
            verdicts.tally[0] += 1
            if similarity >= threshold:
                verdicts.witness[rank], verdicts.similarity[rank] = candidate, similarity
                break
            verdicts.tally[1] += 1
        shared[met] = 0  # clearing what was touched costs nothing per document
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
def _meet(mine: np.ndarray, kept: KeptRanks, shared: np.ndarray) -> np.ndarray:
    """Return the kept ranks of the buckets `mine`, each once; adds to `shared`, (k,) int32, in how many each is."""
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
    return ranks[:count]


@numba.njit(cache=True)
def _close(rank: int, others: np.ndarray, sketches: Sketches) -> np.ndarray:
    """Return those of `others` whose signatures have `min_equal` values or more in common with that of `rank`.

    A hundredth of what comparing the sets costs: pages of one template are candidates of each other by the million.
    """
    mine = sketches.values[sketches.places[rank]]
    close, count = np.empty(len(others), np.int64), 0
    for other in others:
        if num_equal(mine, sketches.values[sketches.places[other]]) >= sketches.min_equal:
            close[count] = other
            count += 1
    return close[:count]


@numba.njit(cache=True)
def num_equal(a: np.ndarray, b: np.ndarray) -> int:
    """Return in how many places two signatures, (num_perm,) uint32, are equal."""
    equal = np.uint32(0)  # as wide as the values, so that many are compared at once; no early end for the same reason
    for i in range(len(a)):
        equal += np.uint32(a[i] == b[i])
    return int(equal)


@numba.njit(cache=True)
def _by_shared(ranks: np.ndarray, shared: np.ndarray) -> np.ndarray:
    """Return the ranks that share most buckets first, among equals the lower rank first."""
    ranks = np.sort(ranks)
    return ranks[np.argsort(-shared[ranks], kind="mergesort")]


@numba.njit(cache=True)
def jaccard(a: np.ndarray, b: np.ndarray, threshold: float = 0.0) -> float:
    """Return |a and b| / |a or b|; 0 as soon as it is certain that this is below the threshold.

    Args:
        a, b: sets as sorted arrays without repeats, neither of them empty.
    """
    # rounded down: the ratio itself decides at the border
    needed = int(threshold / (1 + threshold) * (len(a) + len(b)))
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
