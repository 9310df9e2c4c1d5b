"""The kernel of verification: takes documents in keep order, compares each with the kept ones it shares a band with.

Documents of a block are named by their place in it. Removed documents never enter a bucket, so a cluster of n copies
costs n comparisons, not n^2.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from data_pipeline.compiled import array_kernel

KEPT = -1


class Likeness(NamedTuple):
    """When a document goes for a kept one.

    Attributes:
        threshold: of their similarity.
        directional: similarity is the share of the document's own shingles that the kept one holds, which must have as
            many shingles or more; else Jaccard, |a and b| / |a or b|.
        min_equal: (101,) int64, by the least Jaccard similarity that a pair may have to be alike, in hundredths: with
            fewer equal values of their signatures they are not compared; see `lsh.min_equal_values`.
    """

    threshold: float
    directional: bool
    min_equal: np.ndarray


class Block(NamedTuple):
    """n documents in keep order.

    Attributes:
        buckets: (n, bands) uint32: equal numbers, and only these, are a band in common; all below n * bands.
        pool, starts: the shingle set of document i is pool[starts[i] : starts[i + 1]], uint64, sorted, without repeats;
            starts need not begin at 0.
        signatures: (n, num_perm) uint32.
    """

    buckets: np.ndarray
    pool: np.ndarray
    starts: np.ndarray
    signatures: np.ndarray


class Verdicts(NamedTuple):
    """What was decided of a block.

    Attributes:
        witness: (n,) int64, the kept document that a removed one is similar to, or KEPT.
        similarity: (n,) float64, to the witness; 0 for a kept one.
        nearest: (n,) float64, of a kept one the similarity to that kept one before it whose signature is most like its
            own; 0 where bands connect it with none.
        tally: (3,) int64: pairs compared, pairs of these below the threshold, pairs that their signatures ruled out.
    """

    witness: np.ndarray
    similarity: np.ndarray
    nearest: np.ndarray
    tally: np.ndarray


class _Kept(NamedTuple):
    """The kept documents of each bucket so far: those of bucket b are places[starts[b] : starts[b] + sizes[b]]."""

    starts: np.ndarray
    sizes: np.ndarray
    places: np.ndarray


@array_kernel
def judge(block: Block, num_carried: int, likeness: Likeness) -> Verdicts:
    """Judge the documents of a block; the first `num_carried` were kept before and stay.

    A document goes when a kept one in a bucket of its own, whose signature is close enough, has a similarity of
    `threshold` or above. The witness is the first such one in the order of `_by_shared`: mostly the most similar one,
    found without comparing the rest.
    """
    n = len(block.buckets)
    verdicts = Verdicts(np.full(n, KEPT, np.int64), np.zeros(n), np.zeros(n), np.zeros(3, np.int64))
    kept = _no_kept(block.buckets)
    shared = np.zeros(n, np.int32)
    for place in range(n):
        mine = block.buckets[place]
        if place >= num_carried:
            met = _meet(mine, kept, shared)
            equal = _equal_values(place, met, block.signatures)
            _find_witness(place, met, equal, shared, block, likeness, verdicts)
            shared[met] = 0  # clearing what was touched costs nothing per document
            if verdicts.witness[place] == KEPT:
                verdicts.nearest[place] = _nearest(place, met, equal, block, likeness.directional)
        if verdicts.witness[place] == KEPT:
            for bucket in mine:
                kept.places[np.int64(kept.starts[bucket]) + np.int64(kept.sizes[bucket])] = place
                kept.sizes[bucket] += np.uint32(1)
    return verdicts


@array_kernel
def _no_kept(buckets: np.ndarray) -> _Kept:
    """Return room for all documents in their buckets."""
    starts = np.zeros(buckets.size + 1, np.uint32)
    for row in buckets:
        for bucket in row:
            starts[np.int64(bucket) + 1] += np.uint32(1)
    for bucket in range(buckets.size):
        starts[bucket + 1] += starts[bucket]
    return _Kept(starts, np.zeros(buckets.size, np.uint32), np.empty(buckets.size, np.uint32))


@array_kernel
def _find_witness(
    place: int,
    met: np.ndarray,
    equal: np.ndarray,
    shared: np.ndarray,
    block: Block,
    likeness: Likeness,
    verdicts: Verdicts,
) -> None:
    close = _close(place, met, equal, block, likeness)
    verdicts.tally[2] += len(met) - len(close)
    mine = block.pool[block.starts[place] : block.starts[place + 1]]
    for candidate in _by_shared(close, shared):
        other = block.pool[block.starts[candidate] : block.starts[candidate + 1]]
        if likeness.directional:
            similarity = containment(mine, other, likeness.threshold)
        else:
            similarity = jaccard(mine, other, likeness.threshold)
        verdicts.tally[0] += 1
        if similarity >= likeness.threshold:
            verdicts.witness[place], verdicts.similarity[place] = candidate, similarity
            return
        verdicts.tally[1] += 1


@array_kernel
def _meet(mine: np.ndarray, kept: _Kept, shared: np.ndarray) -> np.ndarray:
    """Return the kept documents of the buckets `mine`, each once; adds to `shared`, (n,) int32, in how many each is."""
    room = np.int64(0)
    for bucket in mine:
        room += np.int64(kept.sizes[bucket])
    met, count = np.empty(room, np.int64), 0
    for bucket in mine:
        first = np.int64(kept.starts[bucket])
        for at in range(first, first + np.int64(kept.sizes[bucket])):
            place = np.int64(kept.places[at])
            if shared[place] == 0:
                met[count] = place
                count += 1
            shared[place] += 1
    return met[:count]


@array_kernel
def _equal_values(place: int, others: np.ndarray, signatures: np.ndarray) -> np.ndarray:
    """Return how many values of the signature at `place` each of `others` has in common with it, (m,) int64.

    A hundredth of what comparing the sets costs: pages of one template are candidates of each other by the million.
    """
    equal = np.empty(len(others), np.int64)
    for i in range(len(others)):
        equal[i] = num_equal(signatures[place], signatures[others[i]])
    return equal


@array_kernel
def _close(place: int, others: np.ndarray, equal: np.ndarray, block: Block, likeness: Likeness) -> np.ndarray:
    """Return those of `others` that may be alike, by the equal values of their signatures; equal: (m,) int64."""
    close, count = np.empty(len(others), np.int64), 0
    size = block.starts[place + 1] - block.starts[place]
    for i in range(len(others)):
        least = likeness.threshold
        if likeness.directional:  # of sets of such sizes, of which the one holds as much of the other
            common = likeness.threshold * size
            least = common / (size + block.starts[others[i] + 1] - block.starts[others[i]] - common)
        if equal[i] >= likeness.min_equal[min(int(100 * least), 100)]:
            close[count] = others[i]
            count += 1
    return close[:count]


@array_kernel
def _nearest(place: int, others: np.ndarray, equal: np.ndarray, block: Block, directional: bool) -> float:
    """Return the similarity to that of `others` with the most equal values, of equals the first; 0 where there is none.

    One comparison a document. The most that signatures estimate would be chance: of many others, the luckiest.
    """
    if not len(others):
        return 0.0
    other = others[equal == equal.max()].min()
    mine = block.pool[block.starts[place] : block.starts[place + 1]]
    its = block.pool[block.starts[other] : block.starts[other + 1]]
    return containment(mine, its) if directional else jaccard(mine, its)


@array_kernel
def num_equal(a: np.ndarray, b: np.ndarray) -> int:
    """Return in how many places two signatures, (num_perm,) uint32, are equal."""
    equal = np.uint32(0)  # as wide as the values, so that many are compared at once; no early end for the same reason
    for i in range(len(a)):
        equal += np.uint32(a[i] == b[i])
    return int(equal)


@array_kernel
def _by_shared(places: np.ndarray, shared: np.ndarray) -> np.ndarray:
    """Return the places that share most buckets first, among equals the earlier first."""
    places = np.sort(places)
    return places[np.argsort(-shared[places], kind="mergesort")]


@array_kernel
def jaccard(a: np.ndarray, b: np.ndarray, threshold: float = 0.0) -> float:
    """Return |a and b| / |a or b|; 0 as soon as it is certain that this is below the threshold.

    Args:
        a, b: sets as sorted arrays without repeats, neither of them empty.
    """
    common = _num_common(a, b, int(threshold / (1 + threshold) * (len(a) + len(b))))
    return common / (len(a) + len(b) - common)


@array_kernel
def containment(a: np.ndarray, b: np.ndarray, threshold: float = 0.0) -> float:
    """Return |a and b| / |a|; 0 as soon as it is certain that this is below the threshold, and where b is the smaller.

    Args:
        a, b: sets as sorted arrays without repeats, neither of them empty.
    """
    if len(b) < len(a):
        return 0.0
    return _num_common(a, b, int(threshold * len(a))) / len(a)


@array_kernel
def _num_common(a: np.ndarray, b: np.ndarray, needed: int) -> int:
    """Return |a and b|; 0 as soon as it is certain to be less than `needed`.

    Callers round `needed` down: the ratio itself decides at the border.
    """
    spare_a, spare_b = len(a) - needed, len(b) - needed  # elements that may be missing in the other set
    i, j, common = 0, 0, 0
    while i < len(a) and j < len(b) and spare_a >= 0 and spare_b >= 0:
        if a[i] == b[j]:
            i, j, common = i + 1, j + 1, common + 1
        elif a[i] < b[j]:
            i, spare_a = i + 1, spare_a - 1
        else:
            j, spare_b = j + 1, spare_b - 1
    return common if spare_a >= 0 and spare_b >= 0 else 0
