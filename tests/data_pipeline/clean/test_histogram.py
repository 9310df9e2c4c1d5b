from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.clean.histogram import (
    Histograms,
    Side,
    borders,
    count,
    count_labels,
    sides,
    times_broken,
)
from data_pipeline.clean.rules import Choice, Group, Limit

LIMITS = (
    Limit("a", least=0.5, below="low"),
    Limit("b", most=2.125, above="high"),
    Limit("c", 0.0, 1.0, "under", "over"),
    Limit("a", most=math.inf, above="none_yet"),
    Limit("b", least=0.25, below="low_of_ones", where=Group("label", 1.0, "one")),
)
Row = tuple[float, float, float, int, float]
numbers = st.floats(-5, 5) | st.sampled_from([0.0, -0.0, 0.5, 1.0, 2.0, 2.125, math.inf, -math.inf, math.nan])
labels = st.sampled_from([0.0, 1.0, 2.0, math.nan])
documents = st.lists(st.tuples(numbers, numbers, numbers, st.integers(0, 100), labels), max_size=30)


def scores_of(rows: list[Row]) -> dict[str, np.ndarray]:
    names = {"a": 0, "b": 1, "c": 2, "label": 4}
    return {name: np.array([row[place] for row in rows], float) for name, place in names.items()}


def counted(rows: list[Row]) -> Histograms:
    scores, sizes = scores_of(rows), np.array([row[3] for row in rows], np.int64)
    of = sides(LIMITS)
    return count(of, scores, sizes, times_broken(of, scores, sizes % 7 == 3))


def same(one: Histograms, other: Histograms) -> bool:
    return np.array_equal(one.rows, other.rows) and np.array_equal(one.taken, other.taken)


def test_borders_are_what_people_type() -> None:
    found = set(borders().tolist())
    assert found >= {0.0, 0.01, 0.18, 0.3, 0.67, 1.0, 3.0, 50.0, 100_000.0, -2.5}
    assert len(found) == len(borders()) and (np.diff(borders()) > 0).all()
    sizes = borders()[borders() > 0][:-1]
    assert (np.diff(sizes) / sizes[:-1] < 0.1001).all()


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=50), st.floats(allow_nan=False))
def test_a_limit_at_any_border_takes_what_its_buckets_say(values: list[float], threshold: float) -> None:
    array = np.array(values)
    least = Side(Limit("a", least=threshold, below="low"), "least")
    most = Side(Limit("a", most=threshold, above="high"), "most")
    for side in (least, most):
        edges, buckets = side.edges, side.buckets(array)
        assert threshold in edges
        for place in {*buckets.tolist(), int(np.searchsorted(edges, threshold))}:
            takes = array < edges[place] if side is least else array > edges[place]
            by_bucket = buckets < place if side is least else buckets > place
            assert np.array_equal(takes, by_bucket)


def test_what_has_no_reason_is_no_side() -> None:
    found = [(side.limit.score, side.end, side.threshold, side.reason) for side in sides(LIMITS)]
    assert found == [
        ("a", "least", 0.5, "low"),
        ("b", "most", 2.125, "high"),
        ("c", "least", 0.0, "under"),
        ("c", "most", 1.0, "over"),
        ("a", "most", math.inf, "none_yet"),
        ("b", "least", 0.25, "low_of_ones"),
    ]


def parts_of(row: Row) -> list[tuple[float, bool]]:
    """Return the score that each side looks at, and whether it is broken."""
    a, b, c, _, label = row
    ones = b if label == 1.0 else math.nan
    return [(a, a < 0.5), (b, b > 2.125), (c, c < 0.0), (c, c > 1.0), (a, False), (ones, ones < 0.25)]


@given(documents)
def test_counts_are_those_of_a_loop(rows: list[Row]) -> None:
    found, of = counted(rows), sides(LIMITS)
    expected: list[dict[int, list[int]]] = [{} for _ in of]
    taken = [[0, 0, 0] for _ in of]
    for row in rows:
        parts = parts_of(row)
        times = sum(broken for _, broken in parts) + (row[3] % 7 == 3)
        for side, (value, broken) in enumerate(parts):
            if math.isnan(value):
                continue
            edges = [
                edge
                for edge in of[side].edges.tolist()
                if (edge <= value if of[side].end == "least" else edge >= value)
            ]
            edge = max(edges) if of[side].end == "least" else min(edges)
            bucket = of[side].edges.tolist().index(edge)
            counts = [1, row[3], int(times == broken)]
            held = expected[side].setdefault(bucket, [0, 0, 0])
            for sums in [held, taken[side]] if broken else [held]:
                for column, number in enumerate(counts):
                    sums[column] += number
    for side, buckets in enumerate(expected):
        assert found.of(side) == [[bucket, *buckets[bucket]] for bucket in sorted(buckets)]
    assert found.taken.tolist() == taken


@given(documents, documents)
def test_histograms_of_parts_add_up(one: list[Row], other: list[Row]) -> None:
    assert same(counted(one) + counted(other), counted(one + other))
    assert same(Histograms.empty(len(sides(LIMITS))) + counted(one), counted(one))


@given(documents)
def test_labels_are_counted_as_in_a_loop(rows: list[Row]) -> None:
    choice = Choice("label", ("zero", "one", "two"), frozenset({1}), "unwanted", "a")
    sizes, gone = np.array([row[3] for row in rows], np.int64), np.array([row[3] % 2 == 1 for row in rows], bool)
    found = count_labels(choice, scores_of(rows), sizes, gone)
    expected = [[0, 0, 0, 0] for _ in range(3)]
    for row in rows:
        if not math.isnan(row[4]):
            counts = (1, row[3], row[3] % 2, row[3] * (row[3] % 2))
            expected[int(row[4])] = [a + b for a, b in zip(expected[int(row[4])], counts, strict=True)]
    assert found.tolist() == expected
