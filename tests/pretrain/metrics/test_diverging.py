"""Said once of a run whose loss stays above its first one, and of no other."""

from __future__ import annotations

import math

import numpy as np

from pretrain.metrics.diverging import IN_ROW, Diverging, told


def said(losses: list[float], first_step: int = 1) -> list[str]:
    it = Diverging()
    lines = [it.take(step, loss, 1e-3) for step, loss in enumerate(losses, start=first_step)]
    return ["" if line is None else told(line) for line in lines]


def test_a_loss_that_stays_above_the_first_is_told_once() -> None:
    texts = said([9.7] + [11.0] * 40)
    assert [step for step, text in enumerate(texts, start=1) if text] == [1 + IN_ROW]
    assert "step 11: the loss, 11, has been above that of the fresh weights, 9.7, for 10 steps" in texts[IN_ROW]
    assert "its learning rate, 0.001 now" in texts[IN_ROW]


def test_a_loss_that_comes_down_again_or_rises_little_is_not() -> None:
    assert not any(said([9.7] + ([11.0] * (IN_ROW - 1) + [9.0]) * 5))
    noise = np.random.default_rng(0).normal(0, 0.4, 1000)
    assert not any(said([9.7, *(9.7 + noise).tolist()]))


def test_of_a_run_that_goes_on_nothing_is_known() -> None:
    assert not any(said([20.0] * 40, first_step=500))


def test_a_run_that_begins_anew_is_judged_by_its_own_first() -> None:
    assert not any(said([2.0] * 5 + [2.0])) and not any(said([9.7] * 3)[:3])
    it = Diverging()
    for step, loss in [(1, 2.0), (2, 9.0), (1, 9.0), *((step, 9.5) for step in range(2, 60))]:
        assert not it.take(step, loss, 1e-3)


def test_steps_that_were_taken_back_do_not_count() -> None:
    it = Diverging()
    assert not any(it.take(step, loss, 1e-3) for step, loss in enumerate([2.0] + [9.0] * (IN_ROW - 1), start=1))
    it.go_back()
    assert [it.take(step, 9.0, 1e-3) is None for step in range(5, 5 + IN_ROW)] == [True] * (IN_ROW - 1) + [False]


def test_the_first_of_the_last_losses_that_are_not_finite_is_known() -> None:
    it, found = Diverging(), []
    for step, loss in enumerate([math.nan, 2.0, math.inf, math.nan, 2.0], start=1):
        it.take(step, loss, 1e-3)
        found.append(it.not_finite_since)
    assert found == [1, None, 3, 3, None]
