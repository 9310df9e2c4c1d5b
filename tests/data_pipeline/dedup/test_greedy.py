from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.dedup.greedy import KEPT, KeptRanks, Links, Sets, Verdicts, jaccard, judge

NUM_BUCKETS = 5
DOCUMENTS = st.lists(
    st.tuples(st.sets(st.integers(0, NUM_BUCKETS - 1), min_size=1), st.sets(st.integers(0, 9), min_size=1)), max_size=12
)


def plain_loop(
    buckets: list[set[int]], sets: list[set[int]], threshold: float
) -> tuple[list[int], list[float], tuple[int, int]]:
    witness, similarity, compared, below = [], [], 0, 0
    for rank, mine in enumerate(buckets):
        kept = [k for k in range(rank) if witness[k] == KEPT and mine & buckets[k]]
        found = (KEPT, 0.0)
        for k in sorted(kept, key=lambda k: (-len(mine & buckets[k]), k)):
            compared += 1
            ratio = len(sets[rank] & sets[k]) / len(sets[rank] | sets[k])
            if ratio >= threshold:
                found = (k, ratio)
                break
            below += 1
        witness.append(found[0])
        similarity.append(found[1])
    return witness, similarity, (compared, below)


@settings(deadline=None)  # a kernel's first call compiles it
@given(DOCUMENTS, st.sampled_from([0.25, 0.5, 0.8, 1.0]), st.integers(0, 12))
def test_decides_as_the_plain_loop(
    documents: list[tuple[set[int], set[int]]], threshold: float, first_block: int
) -> None:
    buckets, sets = [list(map(set, column)) for column in zip(*documents, strict=True)] or ([], [])
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
    verdicts = Verdicts(np.full(k, KEPT, np.int64), np.zeros(k), np.zeros(2, np.int64))
    cut = min(first_block, k)
    for start, stop in ((0, cut), (cut, k)):
        judge(start, stop, threshold, links, kept, Sets(pool, starts(sizes.tolist())[:k], sizes), verdicts)
    expected = plain_loop(buckets, sets, threshold)
    assert (verdicts.witness.tolist(), verdicts.similarity.tolist(), tuple(verdicts.tally.tolist())) == expected


@settings(deadline=None)
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
