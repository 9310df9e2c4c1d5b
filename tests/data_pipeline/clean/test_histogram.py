from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.clean.histogram import EMPTY, Histogram, bucket_of, count, lower_edge
from data_pipeline.clean.rules import Limit

LIMITS = (Limit("a", least=0.5, below="low"), Limit("b", most=2.0, above="high"), Limit("c", 0.0, 1.0, "under", "over"))
Documents = list[tuple[float, float, float, int]]
numbers = st.floats(-5, 5) | st.sampled_from([0.0, -0.0, 0.5, 1.0, 2.0, math.inf, math.nan])
documents = st.lists(st.tuples(numbers, numbers, numbers, st.integers(0, 100)), max_size=30)


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=50))
def test_buckets_are_in_the_order_of_the_values_and_3_percent_wide(values: list[float]) -> None:
    array = np.array(values)
    buckets = bucket_of(array)
    order = np.argsort(array, kind="stable")
    assert (np.diff(buckets[order]) >= 0).all()
    for value, bucket in zip(values, buckets.tolist(), strict=True):
        edge = lower_edge(bucket)
        assert bucket_of(np.array([edge]))[0] == bucket
        assert edge <= value
        if math.isfinite(value) and math.isfinite(edge) and abs(value) > 1e-300:
            assert abs(value - edge) <= abs(edge) / 32


def test_a_limit_at_an_edge_is_counted_exactly() -> None:
    values = np.array([0.0, 0.1, 0.25, 0.5, 0.5, 0.75, 1.0])
    buckets = bucket_of(values)
    for edge in (0.25, 0.5, 1.0):
        assert lower_edge(int(bucket_of(np.array([edge]))[0])) == edge
        assert (buckets < bucket_of(np.array([edge]))[0]).sum() == (values < edge).sum()


@given(documents)
def test_counts_are_those_of_a_loop(rows: Documents) -> None:
    scores = {name: np.array([row[place] for row in rows], float) for place, name in enumerate("abc")}
    sizes = np.array([row[3] for row in rows], np.int64)
    gone = np.array([row[3] % 7 == 3 for row in rows], bool)
    found = count(LIMITS, scores, sizes, gone)

    def breaks(row: tuple[float, float, float, int], place: int) -> bool:
        value, limit = row[place], LIMITS[place]
        return value < limit.least or value > limit.most

    for place in range(3):
        plain: dict[int, list[int]] = {}
        for row, is_gone in zip(rows, gone, strict=True):
            if math.isnan(row[place]):
                continue
            held = plain.setdefault(int(bucket_of(np.array([row[place]]))[0]), [0, 0, 0])
            others = [breaks(row, other) for other in range(3) if other != place]
            held[0] += 1
            held[1] += row[3]
            held[2] += not (any(others) or is_gone)
        assert found[place].rows == [[bucket, *plain[bucket]] for bucket in sorted(plain)]
        low, high = (
            [r for r in rows if r[place] < LIMITS[place].least],
            [r for r in rows if r[place] > LIMITS[place].most],
        )
        assert [found[place].below[0], found[place].above[0]] == [len(low), len(high)]
        assert [found[place].below[1], found[place].above[1]] == [sum(r[3] for r in low), sum(r[3] for r in high)]


@given(documents, documents)
def test_histograms_of_parts_add_up(one: Documents, other: Documents) -> None:
    def counted(rows: Documents) -> list[Histogram]:
        scores = {name: np.array([row[place] for row in rows], float) for place, name in enumerate("abc")}
        sizes = np.array([row[3] for row in rows], np.int64)
        return count(LIMITS, scores, sizes, np.zeros(len(rows), bool))

    whole = counted(one + other)
    for place in range(3):
        assert counted(one)[place] + counted(other)[place] == whole[place]
        assert EMPTY + whole[place] == whole[place]
