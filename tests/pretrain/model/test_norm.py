"""The norm is its formula."""

from __future__ import annotations

import pytest
import torch

from pretrain.model.norm import EPS, LayerNorm, normalise, normalise_plainly
from pretrain.pieces import NONE

PLAIN = frozenset({"norm"})


@pytest.mark.parametrize("plain_pieces", [NONE, PLAIN])
def test_the_last_dim_has_mean_0_and_variance_1_then_scale_and_shift(plain_pieces: frozenset[str]) -> None:
    torch.manual_seed(4)
    norm, x_BTD = LayerNorm(16, plain_pieces), 5 + 3 * torch.randn(2, 3, 16)
    with torch.no_grad():
        norm.weight.normal_()
        norm.bias.normal_()
        variance = ((x_BTD - x_BTD.mean(-1, keepdim=True)) ** 2).mean(-1, keepdim=True)  # divided by D, not D - 1
        expected = (x_BTD - x_BTD.mean(-1, keepdim=True)) / (variance + EPS).sqrt() * norm.weight + norm.bias
        torch.testing.assert_close(norm(x_BTD), expected)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_plain_formula_is_the_kernel_with_its_gradients(dtype: torch.dtype) -> None:
    torch.manual_seed(5)
    drawn = (2 + torch.randn(4, 7, 33), torch.randn(33), torch.randn(33))
    found = []
    for function in (normalise, normalise_plainly):
        leaves = [each.to(dtype).requires_grad_() for each in drawn]
        y_BTD = function(*leaves)
        y_BTD.square().sum().backward()
        assert y_BTD.dtype == dtype
        found.append([y_BTD, *(each.grad for each in leaves)])
    near = {"rtol": 0.05, "atol": 0.05} if dtype is torch.bfloat16 else {"rtol": 1e-4, "atol": 1e-4}
    for fast, plain in zip(*found, strict=True):
        torch.testing.assert_close(plain, fast, **near)


@pytest.mark.parametrize("plain_pieces", [NONE, PLAIN])
def test_a_constant_position_gives_the_shift(plain_pieces: frozenset[str]) -> None:
    norm = LayerNorm(8, plain_pieces)
    with torch.no_grad():
        norm.bias.fill_(0.25)
    assert torch.equal(norm(torch.full((1, 1, 8), 7.0)), torch.full((1, 1, 8), 0.25))
