from __future__ import annotations

from fractions import Fraction
from operator import eq

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.dedup.greedy import KEPT, Block, Likeness, containment, jaccard, judge, num_equal

BANDS, NUM_PERM = 3, 4
DOCUMENTS = st.lists(
    st.tuples(
        st.lists(st.integers(0, 3), min_size=BANDS, max_size=BANDS),
        st.sets(st.integers(0, 9), min_size=1),
        st.lists(st.integers(0, 2), min_size=NUM_PERM, max_size=NUM_PERM),
    ),
    min_size=4,
    max_size=12,
)


def ratio(a: set[int], b: set[int], directional: bool) -> Fraction:
    if directional:
        return Fraction(len(a & b), len(a)) if len(b) >= len(a) else Fraction(0)
    return Fraction(len(a & b), len(a | b))


def plain_loop(
    documents: list[tuple[list[int], set[int], list[int]]], likeness: Likeness, num_carried: int
) -> tuple[list[int], list[float], list[float], list[int]]:
    bands, sets, signatures = ([document[column] for document in documents] for column in range(3))
    witness: list[int] = []
    similarity: list[float] = []
    nearest: list[float] = []
    compared, below, ruled_out = 0, 0, 0
    for place, mine in enumerate(bands):
        shared = {k: sum(map(eq, mine, bands[k])) for k in range(place) if witness[k] == KEPT}
        met = [] if place < num_carried else [k for k, number in shared.items() if number]
        equal = {k: sum(map(eq, signatures[place], signatures[k])) for k in met}
        close = [k for k in met if equal[k] >= least_equal(sets[place], sets[k], likeness)]
        ruled_out += len(met) - len(close)
        found = (KEPT, 0.0)
        for k in sorted(close, key=lambda k: (-shared[k], k)):
            compared += 1
            similar = float(ratio(sets[place], sets[k], likeness.directional))
            if similar >= likeness.threshold:
                found = (k, similar)
                break
            below += 1
        witness.append(found[0])
        similarity.append(found[1])
        most_alike = sorted(met, key=lambda k: (-equal[k], k))[:1] if found[0] == KEPT else []
        nearest.append(sum(float(ratio(sets[place], sets[k], likeness.directional)) for k in most_alike))
    return witness, similarity, nearest, [compared, below, ruled_out]


def least_equal(mine: set[int], other: set[int], likeness: Likeness) -> int:
    """By the least Jaccard similarity at which the other set holds enough of mine."""
    common = likeness.threshold * len(mine)
    least = common / (len(mine) + len(other) - common) if likeness.directional else likeness.threshold
    return int(likeness.min_equal[min(int(100 * least), 100)])


@given(DOCUMENTS, st.sampled_from([0.25, 0.5, 0.8, 1.0]), st.booleans(), st.integers(0, NUM_PERM), st.integers(0, 4))
def test_decides_as_the_plain_loop(
    documents: list[tuple[list[int], set[int], list[int]]],
    threshold: float,
    directional: bool,
    min_equal: int,
    num_carried: int,
) -> None:
    buckets = (np.array([document[0] for document in documents]) + 4 * np.arange(BANDS)).astype(np.uint32)
    sets = [sorted(document[1]) for document in documents]
    pool = np.array([element for set_ in sets for element in set_], np.uint64)
    signatures = np.array([document[2] for document in documents], np.uint32)
    likeness = Likeness(threshold, directional, np.arange(101) * min_equal // 100)
    verdicts = judge(Block(buckets, pool, np.cumsum([0, *map(len, sets)]), signatures), num_carried, likeness)
    found = tuple(each.tolist() for each in verdicts)
    assert found == plain_loop(documents, likeness, num_carried)


@given(
    st.sets(st.integers(0, 12), min_size=1),
    st.sets(st.integers(0, 12), min_size=1),
    st.fractions(0, 1, max_denominator=12),
    st.booleans(),
)
def test_a_threshold_hides_only_what_is_below_it(
    a: set[int], b: set[int], threshold: Fraction, directional: bool
) -> None:
    similarity = ratio(a, b, directional)
    measure = containment if directional else jaccard
    found = measure(*(np.array(sorted(each), np.uint64) for each in (a, b)), float(threshold))
    assert found in (0, float(similarity))
    if similarity >= threshold:
        assert found == float(similarity)


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1) | st.none()), max_size=300))
def test_counts_equal_values_as_the_plain_sum(pairs: list[tuple[int, int | None]]) -> None:
    a = [value for value, _ in pairs]
    b = [value if other is None else other for value, other in pairs]
    assert num_equal(np.array(a, np.uint32), np.array(b, np.uint32)) == sum(map(eq, a, b))
