"""A rate far from the option's own, and a large batch without a warm-up, are said."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pretrain.debug.rate import LearningRate, looked_at, preset_of
from pretrain.debug.rung import Finding, Verdict
from pretrain.run import Run


def test_the_default_is_in_order(make: Callable[..., Run], look: Callable[..., Finding]) -> None:
    found = look(LearningRate(), make())
    assert found.verdict is Verdict.OK
    assert found.figure.endswith("the option's own is 0.0006")


@pytest.mark.parametrize(
    ("lr", "verdict"), [("6e-6", Verdict.OK), ("3e-3", Verdict.OK), ("2e-2", Verdict.WARNING), ("1", Verdict.STOP)]
)
def test_a_rate_far_from_the_option_s_own_is_told(
    small: Callable[..., Run], look: Callable[..., Finding], lr: str, verdict: Verdict
) -> None:
    assert look(LearningRate(), small(f"optim.lr={lr}")).verdict is verdict


def test_each_option_has_its_own() -> None:
    assert preset_of("pretrain.optim.adamw.AdamW") == 6e-4
    assert preset_of("pretrain.optim.sgd.SGD") == 0.1
    assert preset_of("mine.Optimizer") is None


def test_a_large_batch_without_warm_up_is_a_warning(small: Callable[..., Run], look: Callable[..., Finding]) -> None:
    large = ["trainer.global_batch_size=1024", "trainer.micro_batch_size=1024", "trainer.max_steps=100"]
    assert look(LearningRate(), small(*large)).verdict is Verdict.OK
    found = look(LearningRate(), small(*large, "schedule.warmup_steps=0"))
    assert found.verdict is Verdict.WARNING
    assert "schedule.warmup_steps" in found.details[0]
    assert look(LearningRate(), small("schedule.warmup_steps=0")).verdict is Verdict.OK


def test_a_factor_that_can_not_be_is_a_stop(small: Callable[..., Run], look: Callable[..., Finding]) -> None:
    run = small()
    run.schedule.factor = lambda step: 1.0 - step  # type: ignore[method-assign]
    found = look(LearningRate(), run)
    assert found.verdict is Verdict.STOP
    assert "in step 2 is -1.0" in found.details[0]


def test_first_and_last_step_are_among_those_looked_at() -> None:
    assert looked_at(3) == [0, 1, 2]
    assert looked_at(1) == [0]
    steps = looked_at(10**9)
    assert (steps[0], steps[-1], len(steps)) == (0, 10**9 - 1, 1000)
