"""The budget of skips against counting by hand."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain.stability.budget import SkipBudget
from pretrain.stability.errors import GuardError


@settings(max_examples=200, deadline=None)
@given(
    skips=st.lists(st.booleans(), max_size=60),
    limits=st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 30)),
    kill=st.integers(0, 60),
)
def test_exceeded_exactly_when_a_count_is_and_a_restored_one_goes_on(
    skips: list[bool], limits: tuple[int, int, int], kill: int
) -> None:
    max_in_row, max_recent, recent_steps = limits
    budget, stopped = SkipBudget(*limits), False
    for step, skipped in enumerate(skips):
        if step == kill and not stopped:
            facts = orjson.loads(orjson.dumps(budget.facts()))
            budget = SkipBudget(*limits)
            budget.restore(facts)
        in_row = next((back for back in range(step + 1) if not skips[step - back]), step + 1)
        recent = sum(skips[max(0, step - recent_steps + 1) : step + 1])
        exceeded = skipped and (in_row > max_in_row or recent > max_recent)
        assert bool(budget.count(step, skipped)) == exceeded
        stopped |= exceeded
    assert budget.last_update == max((step for step, skipped in enumerate(skips) if not skipped), default=0)
    assert budget.facts()["skips"] == sum(skips)


@pytest.mark.parametrize(("limits", "skips"), [((2, 9, 50), [1, 2, 3, 4]), ((9, 2, 50), [1, 3, 5, 6])])
def test_after_a_stop_the_counts_begin_anew(limits: tuple[int, int, int], skips: list[int]) -> None:
    budget = SkipBudget(*limits)
    exceeded = [bool(budget.count(step, step in skips)) for step in range(7)]
    assert any(exceeded)
    again = SkipBudget(*limits)
    again.restore(budget.facts())
    assert (
        again.facts()
        == budget.facts()
        == {
            "skips": 4,
            "skips_in_row": 0,
            "recent_skips": [],
            "last_update": budget.last_update,
        }
    )
    assert [bool(again.count(step, True)) for step in (7, 8, 9)] == [False, False, True]


@pytest.mark.parametrize("facts", [{}, {"skips": 1}, {"skips": "x", "skips_in_row": 0, "recent_skips": []}])
def test_foreign_facts_are_refused(facts: dict[str, object]) -> None:
    with pytest.raises(GuardError, match="another guard"):
        SkipBudget(1, 1, 1).restore(facts)
