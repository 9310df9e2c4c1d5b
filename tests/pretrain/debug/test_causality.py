"""A model that sees ahead is stopped, in `forward` and in the loss of training alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from pretrain.debug.causality import Causality, places_of
from pretrain.debug.rounding import Formats
from pretrain.debug.rung import Finding, Verdict
from pretrain.run import Run


@pytest.fixture(scope="module")
def faults(load_module: Callable[[Path], ModuleType]) -> ModuleType:
    return load_module(Path(__file__).with_name("faults.py"))


def test_gpt_tiny_sees_nothing_ahead_to_the_bit(make: Callable[..., Run], look: Callable[..., Finding]) -> None:
    found = look(Causality(), make(), is_short=True)
    assert found.verdict is Verdict.OK, found
    assert found.figure == "tokens from t = 31, 63 on move nothing before them, to the bit"


@pytest.mark.parametrize("is_short", [False, True])
def test_a_layer_that_peeks_a_little_is_a_stop(
    small: Callable[..., Run], look: Callable[..., Finding], faults: ModuleType, is_short: bool
) -> None:
    run = small("model.dropout=0.1")
    assert look(Causality(), run, is_short).verdict is Verdict.OK
    run.model.blocks[1] = faults.Peeks(run.model.blocks[1], by=1e-3)
    found = look(Causality(), run, is_short)
    assert found.verdict is Verdict.STOP
    assert any("move the logits before it" in detail and "causal mask" in detail for detail in found.details)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_rounding_is_no_leak_and_a_leak_of_little_weight_is_no_rounding(
    small: Callable[..., Run], look: Callable[..., Finding], faults: ModuleType, precision: str
) -> None:
    run = small(f"precision={precision}")
    block = run.model.blocks[1]
    run.model.blocks[1] = faults.RoundsByWhatFollows(block)
    found = look(Causality(), run)
    assert found.verdict is Verdict.OK, found
    assert "before them by rounding alone: logits by " in found.figure
    assert found.figure.endswith(" in float32, 2e-05 of the largest may be")
    block.attention = faults.Looks(block.attention, weight=1e-3)
    found = look(Causality(), run)
    assert found.verdict is Verdict.STOP, found
    assert any("move the logits before it" in detail and "of rounding" in detail for detail in found.details)


def test_a_format_too_coarse_to_tell_a_leak_from_rounding_is_named(
    small: Callable[..., Run], look: Callable[..., Finding], faults: ModuleType
) -> None:
    run = small()
    run.model.blocks[1].feed_forward = InBFloat16(faults.RoundsByWhatFollows(run.model.blocks[1].feed_forward))
    found = look(Causality(), run)
    assert found.verdict is Verdict.WARNING, found
    assert "bfloat16 (without autocast, too): a leak that moves logits by less than 0.04" in found.details[0]


class InBFloat16(nn.Module):
    """A layer that computes coarsely whatever is asked for."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer.bfloat16()

    def forward(self, x_BTD: Tensor, *rest: object) -> Tensor:
        y_BTD: Tensor = self.layer(x_BTD.bfloat16(), *rest)
        return y_BTD.float()


def test_formats_are_seen_inside_of_layers() -> None:
    with Formats() as formats:
        torch.ones(2) @ torch.ones(2)
    assert formats.coarsest is torch.float32
    with Formats() as formats:
        (torch.ones(2).bfloat16() * 2).float() + 1
    assert formats.coarsest is torch.bfloat16


def test_a_loss_of_training_that_peeks_alone_is_a_stop(
    small: Callable[..., Run], look: Callable[..., Finding], faults: ModuleType
) -> None:
    run = small()
    faults.peeking_loss(run.model)
    found = look(Causality(), run)
    assert found.verdict is Verdict.STOP
    assert [("training loss" in detail) for detail in found.details] == [True]


def test_a_model_that_nothing_moves_shows_nothing(small: Callable[..., Run], look: Callable[..., Finding]) -> None:
    run = small()
    with torch.no_grad():
        for parameter in run.model.parameters():
            parameter.zero_()
    assert look(Causality(), run).verdict is Verdict.WARNING


def test_nan_is_no_causality(small: Callable[..., Run], look: Callable[..., Finding], faults: ModuleType) -> None:
    run = small()
    faults.poison(run, "final_norm.weight")
    assert look(Causality(), run).verdict is Verdict.STOP


@pytest.mark.parametrize(("seq_len", "count", "expected"), [(1, 5, []), (2, 5, [1]), (64, 2, [31, 63])])
def test_places(seq_len: int, count: int, expected: list[int]) -> None:
    assert places_of(seq_len, count) == expected
