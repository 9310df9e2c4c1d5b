from __future__ import annotations

from typing import Any

import pytest

from data_pipeline.mix.plan import Share, plan_mixture, repeated_too_often, tokens_of_an_epoch
from data_pipeline.mix.split import SplitError


def test_weights_are_relative() -> None:
    plan = plan_mixture({"web": 3, "books": 1}, {"web": 900, "books": 100})
    assert plan == {"web": Share(0.75, 900), "books": Share(0.25, 100)}
    assert list(plan) == ["web", "books"]


def test_a_budget_makes_a_source_smaller() -> None:
    plan = plan_mixture({"web": 1, "books": 1}, {"web": 900, "books": 100}, {"web": 300, "books": 500})
    assert {source: share.num_tokens for source, share in plan.items()} == {"web": 300, "books": 100}


def test_epochs_follow_from_the_length_of_the_run() -> None:
    """1,000 tokens, a quarter of them from 100: two and a half times each."""
    plan = plan_mixture({"web": 3, "books": 1}, {"web": 900, "books": 100})
    assert plan["books"].epochs(1000) == 2.5
    assert tokens_of_an_epoch(plan) == 1200
    assert repeated_too_often(plan, 1600) == {}
    assert repeated_too_often(plan, 2000) == {"books": 5.0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({"a": 0.0}, {"a": 1}), "weight 0.0 of source 'a'"),
        (({"a": float("inf")}, {"a": 1}), "weight inf of source 'a'"),
        (({"a": 1.0}, {"a": 0}), "'a' has no token left"),
        (({"a": 1.0}, {"a": 5}, {"a": 0}), "budget of 0 tokens of source 'a'"),
        (({"a": 1.0}, {"a": 5}, {"b": 1}), "'b' needs a weight"),
        (({"a": 1.0, "b": 1.0}, {"a": 5}), "'b' needs a weight and tokens"),
        (({"a": 1.0}, {"a": 5, "b": 5}), "'b' needs a weight"),
    ],
)
def test_what_can_not_be_mixed_is_refused_by_its_source(arguments: Any, message: str) -> None:
    with pytest.raises(SplitError, match=message):
        plan_mixture(*arguments)
