"""Throughput, the time to the end, and steps that are too large."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from pretrain.debug import speed
from pretrain.debug.rung import Finding, Verdict
from pretrain.debug.speed import Throughput, affordable, first_step, in_words, judged
from pretrain.run import Run


def test_gpt_tiny_is_measured(make: Callable[..., Run], look: Callable[..., Finding]) -> None:
    run = make("model.num_layers=2")
    found = look(Throughput(), run)
    assert found.verdict is Verdict.OK, found
    assert "tokens/s" in found.figure and "for 8 steps" in found.figure
    assert "MFU" not in found.figure  # a CPU has no known peak


def test_a_rate_that_rewrites_the_weights_is_a_stop(small: Callable[..., Run], look: Callable[..., Finding]) -> None:
    found = look(Throughput(), small("optim.lr=1"))
    assert found.verdict is Verdict.STOP
    assert "lower optim.lr" in found.details[0]
    assert look(Throughput(), small("optim.lr=1e-2")).verdict is Verdict.WARNING


def test_the_change_of_a_step_is_the_learning_rate_over_the_weights(small: Callable[..., Run]) -> None:
    run = small("optim.weight_decay=0")
    _, change = first_step(run, run.loader.micro_batches(0))
    matrices = [each.detach() for each in run.model.parameters() if each.dim() > 1]
    numbers = sum(each.numel() for each in matrices)
    norm = float(torch.stack([each.norm() for each in matrices]).norm())
    # Adam's first step is lr for each number that has a gradient; rows of positions and words not met have none
    assert 0.8 * 6e-4 * numbers**0.5 / norm < change <= 1.01 * 6e-4 * numbers**0.5 / norm


def test_a_step_that_changes_nothing_finite_is_a_stop() -> None:
    assert [problem.verdict for problem in judged(float("nan"), 1.0)] == [Verdict.STOP]
    assert [problem.verdict for problem in judged(0.01, 1e9)] == [Verdict.WARNING]


def test_what_compiles_is_no_part_of_the_measure(
    small: Callable[..., Run], look: Callable[..., Finding], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, now_s = small(), [0.0]
    honest = run.model.loss_sum

    def loss_sum(inputs_BT: torch.Tensor, targets_BT: torch.Tensor, keys_B: torch.Tensor | None = None) -> object:
        now_s[0] += 1.0 if now_s[0] else 1000.0
        return honest(inputs_BT, targets_BT, keys_B)

    run.model.loss_sum = loss_sum  # type: ignore[method-assign]
    monkeypatch.setattr(speed.time, "perf_counter", lambda: now_s[0])
    found = look(Throughput(), run)
    assert "2.00 s a step; 16 s for 8 steps" in found.figure  # of two micro batches
    assert found.details[0].startswith("measured in 5 steps after a warm-up; ")


@pytest.mark.parametrize(
    ("first_s", "num_batches", "expected"),
    [(0.01, 8, (8, 5)), (1.0, 8, (8, 2)), (2.0, 8, (5, 2)), (15.0, 8, (1, 1)), (80.0, 8, (1, 0)), (0.0, 1, (1, 5))],
)
def test_what_takes_long_is_measured_less(first_s: float, num_batches: int, expected: tuple[int, int]) -> None:
    assert affordable(first_s, num_batches) == expected


def test_the_first_update_is_the_measure_where_there_is_time_for_no_more(
    small: Callable[..., Run], look: Callable[..., Finding], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "MOST_S", 0.0)
    found = look(Throughput(), small())
    assert found.verdict is Verdict.OK, found
    assert "measured in 1 step after a warm-up, from 1 of 2 micro batches" in found.details[0]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(35, "35 s"), (720, "12 min"), (12_000, "3 h 20 min"), (1_047_600, "12 days 3 h")],
)
def test_times_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
