"""Throughput, the time to the end, and steps that are too large."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from pretrain.debug.rung import Finding, Verdict
from pretrain.debug.speed import Throughput, first_step, in_words, judged
from pretrain.run import Run


def test_gpt_tiny_is_measured(make: Callable[..., Run], look: Callable[..., Finding]) -> None:
    run = make()
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


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(35, "35 s"), (720, "12 min"), (12_000, "3 h 20 min"), (1_047_600, "12 days 3 h")],
)
def test_times_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
