"""Samples: the documents nearest to a limit and some by lot, the same whoever looks and in whatever parts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.clean.histogram import Side, sides, times_broken
from data_pipeline.clean.rules import Group, Limit
from data_pipeline.stages.shown import BY_LOT, NEAREST, PER_KIND, best, candidates, drawn, lots

LIMITS = (
    Limit("a", 0.25, 0.75, "low", "high"),
    Limit("b", most=math.inf, above="none_yet"),
    Limit("a", least=0.5, below="low_of_ones", where=Group("label", 1.0, "one")),
)
few = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, math.nan]) | st.floats(0, 1)
rows_of = st.lists(st.tuples(few, few, st.sampled_from([0.0, 1.0]), st.integers(0, 3)), max_size=60)
Rows = list[tuple[float, float, float, int]]
Sample = tuple[int, bool, int, int, float, bool]


def found_in(rows: Rows, first_index: int = 0) -> Any:
    scores = {name: np.array([row[place] for row in rows], float) for place, name in enumerate(("a", "b", "label"))}
    lot = np.array([row[3] for row in rows], np.uint64)
    times = times_broken(sides(LIMITS), scores, np.zeros(len(rows), bool))
    return candidates(sides(LIMITS), scores, times, lot, first_index)


def value_of(row: tuple[float, float, float, int], side: Side) -> float:
    if side.limit.where is not None and row[2] != 1.0:
        return math.nan
    return row[0] if side.limit.score == "a" else row[1]


def plain(rows: Rows) -> list[Sample]:
    """The same, as a person would draw them: sort all documents, take the first."""
    samples: list[Sample] = []
    for number, side in enumerate(sides(LIMITS)):
        mine: list[Sample] = []
        for outside in (False, True):
            there = []
            for index, row in enumerate(rows):
                value = value_of(row, side)
                breaks = value < side.threshold if side.end == "least" else value > side.threshold
                if not math.isnan(value) and breaks == outside:
                    far = -value if side.threshold == math.inf else abs(value - side.threshold)
                    there.append((far, row[3], index, value))
            near = sorted(there)[:PER_KIND]
            rest = [each for each in sorted(there, key=lambda each: each[1:3]) if each not in near][:PER_KIND]
            for kind, chosen in ((NEAREST, near), (BY_LOT, rest)):
                mine += [(number, outside, kind, index, value, False) for _, _, index, value in chosen]
        samples += sorted(mine, key=lambda each: (each[2], each[4], each[3]))
    return samples


@given(rows_of)
def test_the_samples_are_those_of_a_plain_sort(rows: Rows) -> None:
    names = ["side", "outside", "kind", "index", "value"]
    assert drawn(best(found_in(rows)))[names].tolist() == [each[:5] for each in plain(rows)]


@given(rows_of, st.integers(0, 60), st.integers(0, 60))
def test_parts_in_any_order_give_the_same(rows: Rows, one: int, other: int) -> None:
    first, second = sorted((min(one, len(rows)), min(other, len(rows))))
    parts = [found_in(rows[a:b], a) for a, b in ((second, len(rows)), (0, first), (first, second))]
    step = best(np.concatenate(parts[:2]))
    assert np.array_equal(drawn(best(np.concatenate([step, parts[2]]))), drawn(best(found_in(rows))))


def test_what_nothing_else_takes_is_alone() -> None:
    found = drawn(best(found_in([(0.1, 0.0, 0.0, 0), (0.1, 0.0, 1.0, 1), (0.6, 0.0, 1.0, 2)])))
    alone = {(row["side"], row["index"]): bool(row["alone"]) for row in found}
    assert alone[0, 0] and not alone[0, 1]  # the second is also below the limit of the ones
    assert alone[0, 2] and alone[1, 2]
    assert not alone[1, 0]  # inside of this one, and taken by another


def test_a_lot_is_of_the_place_in_the_source() -> None:
    files, rows = np.array([5, 5, 6], np.int32), np.array([0, 1, 0], np.int64)
    assert np.array_equal(lots(files, rows, 5), lots(files + 3, rows, 8))
    assert len(set(lots(files, rows, 5).tolist())) == 3
