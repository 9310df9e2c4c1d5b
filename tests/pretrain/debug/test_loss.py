"""The first loss tells fresh weights from read ones, and broken ones from both."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

from pretrain.debug.loss import FirstLoss, judged_fresh, judged_read
from pretrain.debug.rung import Finding, Verdict
from pretrain.run import Run


@pytest.fixture(scope="module")
def faults(load_module: Callable[[Path], ModuleType]) -> ModuleType:
    return load_module(Path(__file__).with_name("faults.py"))


@pytest.mark.parametrize("is_short", [False, True])
def test_gpt_tiny_begins_with_a_guess(make: Callable[..., Run], look: Callable[..., Finding], is_short: bool) -> None:
    found = look(FirstLoss(), make(), is_short)
    assert found.verdict is Verdict.OK, found
    assert float(found.figure.split()[0]) == pytest.approx(math.log(512), abs=0.3)
    assert "ln(vocabulary) is 6.238" in found.figure


def test_nan_in_a_weight_is_a_stop_that_names_it(
    small: Callable[..., Run], look: Callable[..., Finding], faults: ModuleType
) -> None:
    run = small()
    faults.poison(run, "blocks.1.attention.qkv.weight")
    found = look(FirstLoss(), run)
    assert found.verdict is Verdict.STOP
    assert any("not finite: blocks.1.attention.qkv.weight" in detail for detail in found.details)


@pytest.mark.parametrize(("scale", "verdict"), [(1, Verdict.OK), (6, Verdict.WARNING), (40, Verdict.STOP)])
def test_a_head_that_is_too_large_is_told(
    small: Callable[..., Run], look: Callable[..., Finding], scale: float, verdict: Verdict
) -> None:
    run = small()
    with torch.no_grad():
        run.model.final_norm.weight.mul_(scale * 2)
    found = look(FirstLoss(), run)
    assert found.verdict is verdict, found


def test_fresh_weights_that_know_something_are_suspicious() -> None:
    assert judged_fresh(-0.1, 1.0) == []
    assert [problem.verdict for problem in judged_fresh(-0.5, 1.0)] == [Verdict.WARNING]
    assert [problem.verdict for problem in judged_fresh(-3.0, 1.0)] == [Verdict.STOP]


def test_weights_that_were_not_read_are_a_stop(small: Callable[..., Run], look: Callable[..., Finding]) -> None:
    found = look(FirstLoss(), small(), saved_line={"loss": 3.1})
    assert found.verdict is Verdict.STOP
    assert "the checkpoint's were not read" in found.details[0]


def test_weights_that_were_read_stand_near_what_they_had() -> None:
    assert judged_read(3.2, 3.1, 6.2) == []
    assert judged_read(6.1, 6.0, 6.2) == []  # a checkpoint of the first steps
    assert [problem.verdict for problem in judged_read(4.2, 3.1, 6.2)] == [Verdict.WARNING]
    assert [problem.verdict for problem in judged_read(6.2, math.nan, 6.2)] == [Verdict.STOP]
