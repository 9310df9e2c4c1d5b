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


@pytest.fixture
def knows(small: Callable[..., Run]) -> Run:
    """A run whose initial weights know its first sequences, as if init_weights had read them."""
    run = small("optim.lr=1e-2")
    batch = run.loader.micro_batches(0)[0]
    for _ in range(40):
        run.model.loss_sum(batch.inputs_BT, batch.targets_BT)[0].div(batch.targets_BT.numel()).backward()
        run.optimizer.step(1e-2, torch.zeros(()), torch.ones(()))
        run.optimizer.zero_grad()
    return run


@pytest.mark.parametrize("is_short", [False, True])
def test_weights_that_a_model_reads_by_itself_lie_far_below_a_guess(
    knows: Run, look: Callable[..., Finding], is_short: bool
) -> None:
    found = look(FirstLoss(), knows, is_short)
    assert found.verdict is Verdict.OK, found
    assert "far below a guess: init_weights has read weights that know text" in found.figure
    knows.model.begins_trained = True
    assert look(FirstLoss(), knows, is_short).verdict is Verdict.OK


def test_a_loss_of_the_inputs_themselves_is_no_knowledge(
    small: Callable[..., Run], look: Callable[..., Finding]
) -> None:
    run = small()
    with torch.no_grad():
        run.model.token_embedding.weight.mul_(30)  # tied: each token predicts itself
    honest = run.model.loss_sum
    run.model.loss_sum = lambda inputs, targets, keys=None: honest(inputs, inputs, keys)  # type: ignore[method-assign]
    found = look(FirstLoss(), run)
    assert found.verdict is Verdict.STOP, found
    assert "targets reach the inputs, or are the inputs" in found.details[0]


def test_weights_that_a_model_was_to_read_and_did_not_are_a_stop(
    small: Callable[..., Run], look: Callable[..., Finding]
) -> None:
    run = small()
    run.model.begins_trained = True
    found = look(FirstLoss(), run)
    assert found.verdict is Verdict.STOP
    assert "init_weights has not read those that it was to read" in found.details[0]


def test_weights_that_were_not_read_are_a_stop(small: Callable[..., Run], look: Callable[..., Finding]) -> None:
    found = look(FirstLoss(), small(), saved_line={"loss": 3.1})
    assert found.verdict is Verdict.STOP
    assert "the checkpoint's were not read" in found.details[0]


def test_weights_that_were_read_stand_near_what_they_had() -> None:
    assert judged_read(3.2, 3.1, 6.2) == []
    assert judged_read(6.1, 6.0, 6.2) == []  # a checkpoint of the first steps
    assert [problem.verdict for problem in judged_read(4.2, 3.1, 6.2)] == [Verdict.WARNING]
    assert [problem.verdict for problem in judged_read(6.2, math.nan, 6.2)] == [Verdict.STOP]
