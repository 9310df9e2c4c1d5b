from __future__ import annotations

from fractions import Fraction
from operator import eq

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.dedup.greedy import KEPT, KeptRanks, Links, Sets, Sketches, Verdicts, jaccard, judge, num_equal

NUM_BUCKETS = 5
NUM_PERM = 4
DOCUMENTS = st.lists(
    st.tuples(
        st.sets(st.integers(0, NUM_BUCKETS - 1), min_size=1),
        st.sets(st.integers(0, 9), min_size=1),
        st.lists(st.integers(0, 2), min_size=NUM_PERM, max_size=NUM_PERM),
    ),
    max_size=12,
)


def plain_loop(
    buckets: list[set[int]], sets: list[set[int]], signatures: list[list[int]], threshold: float, min_equal: int
) -> tuple[list[int], list[float], tuple[int, int, int]]:
    witness, similarity, compared, below, ruled_out = [], [], 0, 0, 0
    for rank, mine in enumerate(buckets):
        kept = [k for k in range(rank) if witness[k] == KEPT and mine & buckets[k]]
        close = [k for k in kept if sum(map(eq, signatures[rank], signatures[k])) >= min_equal]
        ruled_out += len(kept) - len(close)
        found = (KEPT, 0.0)
        for k in sorted(close, key=lambda k: (-len(mine & buckets[k]), k)):
            compared += 1
            ratio = len(sets[rank] & sets[k]) / len(sets[rank] | sets[k])
            if ratio >= threshold:
                found = (k, ratio)
                break
            below += 1
        witness.append(found[0])
        similarity.append(found[1])
    return witness, similarity, (compared, below, ruled_out)


@given(DOCUMENTS, st.sampled_from([0.25, 0.5, 0.8, 1.0]), st.integers(0, NUM_PERM), st.integers(0, 12))
def test_decides_as_the_plain_loop(
    documents: list[tuple[set[int], set[int], list[int]]], threshold: float, min_equal: int, first_block: int
) -> None:
    buckets, sets, signatures = ([document[column] for document in documents] for column in range(3))
    k = len(documents)

    def starts(sizes: list[int]) -> np.ndarray:
        return np.cumsum([0, *sizes])

    links = Links(
        starts([len(mine) for mine in buckets]), np.array([b for mine in buckets for b in sorted(mine)], np.int64)
    )
    room = starts([sum(b in mine for mine in buckets) for b in range(NUM_BUCKETS)])
    kept = KeptRanks(room, np.zeros(NUM_BUCKETS, np.int64), np.empty(room[-1], np.int64))
    pool = np.array([element for set_ in sets for element in sorted(set_)], np.uint64)
    sizes = np.array([len(set_) for set_ in sets], np.int64)
    verdicts = Verdicts(np.full(k, KEPT, np.int64), np.zeros(k), np.zeros(3, np.int64))
    values = np.array(signatures, np.uint32).reshape(k, NUM_PERM)
    sketches = Sketches(values[::-1].copy(), np.arange(k)[::-1].copy(), min_equal)  # in any order in memory
    cut = min(first_block, k)
    for start, stop in ((0, cut), (cut, k)):
        judge(start, stop, threshold, links, kept, Sets(pool, starts(sizes.tolist())[:k], sizes), sketches, verdicts)
    expected = plain_loop(buckets, sets, signatures, threshold, min_equal)
    assert (verdicts.witness.tolist(), verdicts.similarity.tolist(), tuple(verdicts.tally.tolist())) == expected


@given(
    st.sets(st.integers(0, 12), min_size=1),
    st.sets(st.integers(0, 12), min_size=1),
    st.fractions(0, 1, max_denominator=12),
)
def test_a_threshold_hides_only_what_is_below_it(a: set[int], b: set[int], threshold: Fraction) -> None:
    similarity = Fraction(len(a & b), len(a | b))
    found = jaccard(*(np.array(sorted(each), np.uint64) for each in (a, b)), float(threshold))
    assert found in (0, float(similarity))
    if similarity >= threshold:
        assert found == float(similarity)


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1) | st.none()), max_size=300))
def test_counts_equal_values_as_the_plain_sum(pairs: list[tuple[int, int | None]]) -> None:
    a = [value for value, _ in pairs]
    b = [value if other is None else other for value, other in pairs]
    assert num_equal(np.array(a, np.uint32), np.array(b, np.uint32)) == sum(map(eq, a, b))
