"""How a run is shared among sources: exact sums, budgets to the nearest unit, weights share the rest."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.shards.shares import largest_remainder, shared_out, units_of

WEIGHTS = st.lists(st.floats(0.01, 100.0), min_size=1, max_size=12)


@settings(max_examples=100, deadline=None)
@given(weights=WEIGHTS, total=st.integers(1, 100_000))
def test_largest_remainder_sums_up_and_rounds_each_share(weights: list[float], total: int) -> None:
    counts = largest_remainder(weights, total)
    assert counts.sum() == total
    for weight, count in zip(weights, counts.tolist(), strict=True):
        assert abs(count - total * Fraction(weight) / sum(map(Fraction, weights))) < 1


def test_largest_remainder_by_hand() -> None:
    assert largest_remainder([0.5, 0.3, 0.2], 10).tolist() == [5, 3, 2]
    assert largest_remainder([1, 1, 1], 10).tolist() == [4, 3, 3]
    assert largest_remainder([0.62, 0.29, 0.09], 7).tolist() == [4, 2, 1]  # shares 4.34, 2.03, 0.63


@pytest.mark.parametrize(
    ("budget", "held", "unit_tokens", "units"),
    [
        ({"epochs": 2.0}, 7, 128, 14),
        ({"epochs": 0.5}, 7, 128, 4),  # half a unit is rounded up
        ({"tokens": 1000.0}, 7, 128, 8),
        ({"tokens": 1000.0}, 7, 1, 1000),
        ({"tokens": 63.0}, 7, 128, 0),
    ],
)
def test_a_budget_is_the_nearest_number_of_units(
    budget: dict[str, float], held: int, unit_tokens: int, units: int
) -> None:
    assert units_of(budget, held, unit_tokens) == units


def test_budgets_take_their_part_and_weights_share_the_rest() -> None:
    assert shared_out({"books": 30}, {"web": 3.0, "code": 1.0}, 130) == {"books": 30, "web": 75, "code": 25}
    assert shared_out({"books": 30}, {}, 30) == {"books": 30}
    assert shared_out({"books": 30}, {"web": 1.0}, 30) == {"books": 30, "web": 0}
