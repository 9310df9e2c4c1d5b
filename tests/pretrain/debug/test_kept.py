"""Whatever a check does to a run, every bit of it is put back."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pretrain.checkpoint.state import random_states
from pretrain.debug.kept import kept, live_tensors
from pretrain.run import Run
from pretrain.train import forward_backward, train
from pretrain.types import Status


def bits(run: Run) -> dict[str, Any]:
    """All that a step may change."""
    return {
        "tensors": {name: each.detach().clone() for name, each in live_tensors(run).items()},
        "random": random_states(run.mesh.device),
        "progress": asdict(run.progress),
        "guard": copy.deepcopy(run.guard.facts()),
        "trains": [module.training for module in run.wrapped.modules()],
        "learns": [parameter.requires_grad for parameter in run.model.parameters()],
        "gradients": [parameter.grad for parameter in run.model.parameters()],
    }


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    tensors = zip(one["tensors"].items(), other["tensors"].items(), strict=True)
    equal = all(a == b and torch.equal(x, y) for (a, x), (b, y) in tensors)
    return equal and all(one[key] == other[key] for key in one if key != "tensors")


def disturb(run: Run) -> None:
    """Everything that a rung may do, and more."""
    run.model.eval()
    next(run.model.parameters()).requires_grad_(False)
    run.model.train()
    for step in range(3):
        result = forward_backward(run, run.loader.micro_batches(step))
        assert result is not None
        run.optimizer.step(0.1, result.judgement[0], torch.ones(()))
        run.progress.step += 1
        run.progress.tokens_seen += 5
    run.guard.restore(run.guard.facts() | {"skips": 7, "recent_skips": [2]})
    random.random(), np.random.random(), torch.rand(3)  # noqa: NPY002
    run.model.eval()


def test_every_bit_is_put_back_after_steps_of_the_optimizer(small: Callable[..., Run]) -> None:
    run = small("model.dropout=0.1")
    run.model.register_buffer("seen", torch.zeros(3), persistent=False)
    before = bits(run)
    assert len(before["tensors"]) > 50
    with kept(run, copies=True):
        disturb(run)
        run.model.seen += 1
        assert not same(before, bits(run))
    assert same(before, bits(run))


@pytest.mark.parametrize("copies", [True, False])
def test_a_buffer_that_a_forward_replaces_adds_or_takes_away_is_put_back(
    small: Callable[..., Run], copies: bool
) -> None:
    run = small()
    module = run.model.final_norm
    for name, buffer in (("seen", torch.zeros(3)), ("table", torch.ones(2)), ("cache", None)):
        module.register_buffer(name, buffer, persistent=name == "seen")
    persistent = set(module._non_persistent_buffers_set)

    def forward_pre(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if hasattr(module, "table"):
            module.seen = module.seen + 1  # another tensor in its place
            module.seen.mul_(2)
            module.cache = torch.ones(5)
            del module.table
            module.register_buffer("later", torch.ones(4), persistent=False)

    module.register_forward_pre_hook(forward_pre)
    before = bits(run)
    live = dict(module.named_buffers())
    assert set(live) == {"seen", "table"}
    with kept(run, copies=copies):
        run.model(run.loader.micro_batches(0)[0].inputs_BT)
        assert set(dict(module.named_buffers())) == {"seen", "cache", "later"}
    assert same(before, bits(run))
    assert all(found is live[name] for name, found in module.named_buffers())
    assert module.cache is None and module._non_persistent_buffers_set == persistent


def test_it_is_put_back_when_the_check_fails(small: Callable[..., Run]) -> None:
    run = small()
    before = bits(run)
    with pytest.raises(ZeroDivisionError), kept(run, copies=True):
        disturb(run)
        raise ZeroDivisionError
    assert same(before, bits(run))


def test_a_run_that_was_looked_at_trains_to_the_same_bits(small: Callable[..., Run]) -> None:
    looked_at, twin = (small("model.dropout=0.1", "checkpoint=none", "eval=none") for _ in range(2))
    with kept(looked_at, copies=True):
        disturb(looked_at)
    for run in (looked_at, twin):
        assert train(run) is Status.FINISHED
    one, other = bits(looked_at), bits(twin)
    del one["random"], other["random"]  # of one process, drawn from one after the other
    assert same(one, other)


def test_without_copies_a_change_of_the_weights_is_refused_by_name(small: Callable[..., Run]) -> None:
    run = small()
    with kept(run, copies=False):
        run.model(run.loader.micro_batches(0)[0].inputs_BT).sum().backward()
        run.guard.judge(torch.tensor(1.0), torch.tensor(1.0))
    with (
        pytest.raises(RuntimeError, match=r"has changed model\.final_norm\.bias"),
        kept(run, copies=False),
        torch.no_grad(),
    ):
        run.model.final_norm.bias += 1
