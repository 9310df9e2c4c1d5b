"""Pieces that are right lie within rounding of their plain loops; each that is wrong a little is a stop by its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pretrain.data.mixture import Mixture
from pretrain.data.order import permute
from pretrain.debug import both_ways
from pretrain.debug.both_ways import COMPARISONS, Both, Draw
from pretrain.debug.kernels import SHAPES, TOLERANCES, Kernels, difference, worst_of
from pretrain.debug.rung import Finding, Verdict
from pretrain.model.attention import attend
from pretrain.model.dropout import dropout, dropped
from pretrain.model.loss import loss_in_chunks
from pretrain.model.lstm import Layer, State
from pretrain.model.norm import normalise
from pretrain.optim.adamw import AdamW
from pretrain.parallel.replicas import digest
from pretrain.pieces import PIECES
from pretrain.run import Run
from pretrain.stability.window import Window
from pretrain.train import norms_of_gradients

NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NO_GPU])]


def draw(seed: int, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Draw:
    return Draw(torch.Generator().manual_seed(seed), torch.device(device), dtype)


class Forgetful(Layer):
    """An LSTM layer whose kernel begins from zeros whatever state it is given."""

    def forward(self, x_BTD: Tensor, state: State | None = None) -> tuple[Tensor, State]:  # type: ignore[override]
        y_BTD, (h, c) = super().forward(x_BTD)
        return y_BTD + 0 * sum(part.sum() for part in state or ()), (h, c)


class Eager(AdamW):
    """An AdamW that takes a step a thousandth too long."""

    def step(self, lr: float, bad: Tensor, grad_scale: Tensor) -> None:
        super().step(lr * 1.001, bad, grad_scale)


class Uneven(Mixture):
    """A mixture that is a sample off behind its first period."""

    def locate(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        sources, numbers = super().locate(samples)
        return sources, numbers + (samples >= self._period)


def unscaled(q: Tensor, *rest: Any) -> Tensor:
    return attend(q * 1.01, *rest)


def biased(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return normalise(x, weight, bias) * (1 + 1e-3)


def short_of_a_chunk(x: Tensor, weight: Tensor, targets: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """The gradient of the last chunk is lost; the loss itself is right."""
    last = (len(x) - 1) // rows * rows
    return loss_in_chunks(torch.cat([x[:last], x[last:].detach()]), weight, targets, rows)


def late(index: np.ndarray, n: int, *key: Any) -> np.ndarray:
    return np.where(index == index.max(), 0, permute(index, n, *key))


class Mean(Window):
    """A window whose centre is the mean."""

    def look(self) -> tuple[Tensor, Tensor, Tensor]:
        held_KW = self._places_W < self.count_K[:, None]
        center_K = torch.where(held_KW, self.values_KW, 0).sum(1) / held_KW.sum(1)
        return center_K, *super().look()[1:]


def without_the_first(model: nn.Module) -> Tensor:
    norms_P = norms_of_gradients(model)
    return torch.cat([0 * norms_P[:1], norms_P[1:]])


WRONG = {
    "adamw": partial(both_ways.update, fast=partial(Eager, both_ways.LR)),
    "attention": partial(both_ways.attention, fast=unscaled),
    "digest": partial(both_ways.digests, fast=lambda tensor: digest(tensor.flatten()[:-1])),
    "dropout": partial(both_ways.masks, mask=lambda shape, p, keys: dropped(shape, p - 0.02, keys)),
    "gelu": partial(both_ways.activation, fast=nn.functional.gelu),  # the exact one, where the tanh form is meant
    "grad_norm": partial(both_ways.gradient_norms, fast=without_the_first),
    "loss": partial(both_ways.loss, fast=short_of_a_chunk),
    "lstm": partial(both_ways.recurrence, fast=Forgetful),
    "mixture": partial(both_ways.mixture, fast=Uneven),
    "norm": partial(both_ways.norm, fast=biased),
    "order": partial(both_ways.order, fast=late),
    "window": partial(both_ways.medians, fast=Mean),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("piece", sorted(PIECES))
def test_a_right_piece_is_its_plain_loop_and_no_random_state_moves(piece: str, device: str, dtype: torch.dtype) -> None:
    state = torch.get_rng_state()
    found = [worst_of(piece, COMPARISONS[piece](draw(seed, dtype, device))) for seed in range(100, 106)]
    assert not [each for each in found if each.is_wrong]
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("piece", sorted(PIECES))
def test_every_output_and_gradient_is_compared(piece: str) -> None:
    found = COMPARISONS[piece](draw(3))
    assert found.fast.keys() == found.plain.keys()
    gradients = {name.removeprefix("the gradient of ") for name in found.plain if "gradient" in name}
    expected = {"attention": {"q", "k", "v"}, "loss": {"x", "the head"}, "norm": {"x", "the weight", "the bias"}}
    assert expected.get(piece, gradients) == gradients
    have_none = ("adamw", "digest", "grad_norm", "mixture", "order", "window")
    assert bool(gradients) is (piece not in have_none)


@pytest.mark.parametrize("piece", sorted(PIECES))
def test_a_wrong_piece_is_a_stop_that_names_it_shape_and_what_to_do(
    small: Callable[..., Run], look: Callable[..., Finding], piece: str
) -> None:
    run = replace(small(), pieces=frozenset(PIECES))
    alone = {name: compare for name, compare in (COMPARISONS | WRONG).items() if name in (piece, "gelu", "order")}
    right = {name: COMPARISONS[name] for name in alone}
    found = look(Kernels(right | {piece: WRONG[piece]}), run)
    assert found.verdict is Verdict.STOP
    (line,) = found.details
    assert line.startswith(f"{piece}: ") and f"trainer.reference={piece} runs the plain one" in line
    assert " at " in line and any(letter.isdigit() for letter in line)
    told = look(Kernels(right | {piece: WRONG[piece]}), replace(run, plain_pieces=frozenset({piece})))
    assert told.verdict is Verdict.WARNING and "trainer.reference has the plain one run" in told.details[0]


def test_gpt_tiny_s_pieces_are_right_and_only_its_own_are_looked_at(
    small: Callable[..., Run], look: Callable[..., Finding]
) -> None:
    run = small("model.dropout=0.1")
    found = look(Kernels(), run)
    assert found.verdict is Verdict.OK, found
    assert found.figure.startswith(f"9 pieces on {SHAPES} shapes each against their plain loops: at most ")
    assert run.pieces == {*("adamw", "attention", "dropout", "gelu", "grad_norm", "loss", "norm", "order", "window")}


def test_a_bfloat16_run_is_held_to_bfloat16(small: Callable[..., Run], look: Callable[..., Finding]) -> None:
    seen = []

    def note(drawn: Draw) -> Both:
        seen.append(drawn.dtype)
        return COMPARISONS["gelu"](drawn)

    found = look(Kernels({"gelu": note}), small("precision=bf16"))
    assert set(seen) == {torch.bfloat16} and found.verdict is Verdict.OK
    assert found.figure.endswith(f"(gelu, {TOLERANCES[torch.bfloat16]:.0e} allowed)")


def test_a_kernel_that_fails_is_a_stop_by_its_name(small: Callable[..., Run], look: Callable[..., Finding]) -> None:
    def missing(h: Tensor) -> Tensor:
        raise RuntimeError("no kernel image is available for execution on the device")

    found = look(Kernels({"gelu": partial(both_ways.activation, fast=missing)}), small())
    assert found.verdict is Verdict.STOP
    assert (
        found.details[0].startswith("gelu fails: no kernel image is available") and "reference=gelu" in found.details[0]
    )


def test_nan_and_another_shape_are_wrong() -> None:
    plain = torch.ones(3)
    found = Both("3", torch.float32, {}, {})
    assert difference("loss", "the output", found, torch.tensor([1.0, torch.nan, 1.0]), plain).is_wrong
    assert not difference("loss", "the output", found, torch.full((3,), 1 + 1e-6), plain).is_wrong
    assert difference("loss", "the output", found, torch.full((3,), 1 + 1e-3), plain).is_wrong
    with pytest.raises(RuntimeError, match=r"the output is \(2,\) torch.float32 and not \(3,\)"):
        difference("loss", "the output", found, torch.ones(2), plain)


def test_dropout_s_values_are_compared_beside_its_masks() -> None:
    wrong = both_ways.masks(draw(1), fast=lambda x, p, keys: dropout(x, p, keys) * 1.001)
    assert torch.equal(wrong.fast["the mask"], wrong.plain["the mask"])
    assert worst_of("dropout", wrong).is_wrong
