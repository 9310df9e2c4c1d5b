"""Dead, cut off, frozen and broken parameters are told apart from those that begin at zero by design."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

from pretrain.debug.gradients import Gradients, Ranks
from pretrain.debug.rung import Finding, Verdict
from pretrain.run import Run


@pytest.fixture(scope="module")
def faults(load_module: Callable[[Path], ModuleType]) -> ModuleType:
    return load_module(Path(__file__).with_name("faults.py"))


@pytest.mark.parametrize("is_short", [False, True])
def test_every_parameter_of_gpt_tiny_learns(
    make: Callable[..., Run], look: Callable[..., Finding], is_short: bool
) -> None:
    run = make()
    found = look(Gradients(), run, is_short)
    assert (found.verdict, found.details) == (Verdict.OK, ())
    assert found.figure.startswith(f"{len(list(run.model.parameters()))} parameters trained, norms from ")


def test_what_is_cut_off_is_a_stop(small: Callable[..., Run], look: Callable[..., Finding], faults: ModuleType) -> None:
    run = small()
    run.model.blocks[0].feed_forward = faults.Detached(run.model.blocks[0].feed_forward)
    found = look(Gradients(), run)
    assert found.verdict is Verdict.STOP
    assert "no gradient reaches blocks.0.feed_forward_norm.weight" in found.details[0]
    assert "detach" in found.details[0]


def trained_gate(run: Run, faults: ModuleType, learns: bool) -> None:
    """Put a gate before a layer, and into the optimizer, which was built before."""
    gated = faults.Gated(run.model.blocks[1].attention, learns)
    run.model.blocks[1].attention = gated
    group = run.optimizer._groups[1]
    group.names.append("blocks.1.attention.gate")
    group.parameters.append(gated.gate)
    for moments in (group.exp_avgs, group.exp_avg_sqs, group.steps):
        moments.append(torch.zeros(()))


def test_what_begins_at_zero_by_design_wakes_up(
    small: Callable[..., Run], look: Callable[..., Finding], faults: ModuleType
) -> None:
    run = small()
    trained_gate(run, faults, learns=True)
    found = look(Gradients(), run)
    assert found.verdict is Verdict.OK, found
    assert "6 more learn after 3 steps, zero at first" in found.figure  # two products and a norm
    assert look(Gradients(), run, is_short=True).verdict is Verdict.WARNING
    assert run.model.blocks[1].attention.gate.item() == 0


def test_an_expert_that_one_sequence_does_not_reach_is_looked_for_in_more(
    small: Callable[..., Run], look: Callable[..., Finding], faults: ModuleType
) -> None:
    run, calls = small(), []

    def takes(x_BTD: torch.Tensor) -> bool:
        calls.append(len(x_BTD))
        return len(calls) == 2  # of the two micro batches of a step

    run.model.blocks[1].feed_forward = faults.Expert(run.model.blocks[1].feed_forward, 32, takes)
    found = look(Gradients(), run)
    assert found.verdict is Verdict.OK, found
    assert found.figure.endswith(", over 4 sequences")
    found = look(Gradients(), run)  # no call takes it any more
    assert found.verdict is Verdict.STOP
    assert found.details[0].startswith(
        "no gradient reaches blocks.1.feed_forward.branch.weight, blocks.1.feed_forward.branch.bias from 4 sequences"
    )


def test_a_short_look_warns_of_an_expert_and_stops_where_the_graph_is_cut(
    small: Callable[..., Run], look: Callable[..., Finding], faults: ModuleType
) -> None:
    run = small()
    run.model.blocks[1].feed_forward = faults.Expert(run.model.blocks[1].feed_forward, 32, lambda x_BTD: False)
    found = look(Gradients(), run, is_short=True)
    assert found.verdict is Verdict.WARNING, found
    assert "an expert or a branch perhaps: blocks.1.feed_forward.branch.weight, " in found.details[0]
    run.model.blocks[0].feed_forward = faults.Detached(run.model.blocks[0].feed_forward)
    found = look(Gradients(), run, is_short=True)
    assert found.verdict is Verdict.STOP
    assert "no gradient reaches blocks.0.feed_forward_norm.weight" in found.details[0]
    assert "branch" not in found.details[0] and "branch" in found.details[1]


def test_a_dead_layer_is_a_stop(small: Callable[..., Run], look: Callable[..., Finding], faults: ModuleType) -> None:
    run = small()
    trained_gate(run, faults, learns=False)
    found = look(Gradients(), run)
    assert found.verdict is Verdict.STOP
    assert "also after 3 steps: " in found.details[0] and "blocks.1.attention.layer.qkv.weight" in found.details[0]


def test_what_is_frozen_is_listed_and_stays(small: Callable[..., Run], look: Callable[..., Finding]) -> None:
    run = small()
    run.model.blocks[0].feed_forward.up.weight.requires_grad_(False)
    found = look(Gradients(), run)
    assert found.verdict is Verdict.WARNING
    told = "frozen: 4,096 numbers in 1 parameter: blocks.0.feed_forward.up.weight"
    assert found.details == (f"{told}; bitwise the same after 3 steps",)
    assert look(Gradients(), run, is_short=True).details == (told,)  # which takes no step


def test_an_optimizer_that_touches_what_is_frozen_is_a_stop(
    small: Callable[..., Run], look: Callable[..., Finding]
) -> None:
    run = small()
    frozen = run.model.blocks[0].feed_forward.up.weight.requires_grad_(False)
    honest = run.optimizer.step

    def step(lr: float, bad: torch.Tensor, grad_scale: torch.Tensor) -> None:
        honest(lr, bad, grad_scale)
        with torch.no_grad():
            frozen.mul_(1 - 1e-3)

    run.optimizer.step = step  # type: ignore[method-assign]
    found = look(Gradients(), run)
    assert found.verdict is Verdict.STOP
    assert "changed by the optimizer all the same: blocks.0.feed_forward.up.weight" in found.details[0]


def test_with_everything_frozen_nothing_would_be_learnt(
    small: Callable[..., Run], look: Callable[..., Finding]
) -> None:
    run = small()
    run.model.requires_grad_(False)
    assert look(Gradients(), run).verdict is Verdict.STOP


def test_a_gradient_that_is_not_finite_is_a_stop(
    small: Callable[..., Run], look: Callable[..., Finding], faults: ModuleType
) -> None:
    run = small()
    faults.poison(run, "blocks.0.attention.out.weight")
    found = look(Gradients(), run)
    assert found.verdict is Verdict.STOP
    assert "not finite" in found.details[0]


def test_one_rank_differs_from_none(small: Callable[..., Run], look: Callable[..., Finding]) -> None:
    assert look(Ranks(), small()).verdict is Verdict.OK
