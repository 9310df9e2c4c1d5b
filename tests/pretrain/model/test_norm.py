"""The norm is its formula."""

from __future__ import annotations

import torch

from pretrain.model.norm import EPS, LayerNorm


def test_the_last_dim_has_mean_0_and_variance_1_then_scale_and_shift() -> None:
    torch.manual_seed(4)
    norm, x_BTD = LayerNorm(16), 5 + 3 * torch.randn(2, 3, 16)
    with torch.no_grad():
        norm.weight.normal_()
        norm.bias.normal_()
        variance = ((x_BTD - x_BTD.mean(-1, keepdim=True)) ** 2).mean(-1, keepdim=True)  # divided by D, not D - 1
        expected = (x_BTD - x_BTD.mean(-1, keepdim=True)) / (variance + EPS).sqrt() * norm.weight + norm.bias
        torch.testing.assert_close(norm(x_BTD), expected)


def test_a_constant_position_gives_the_shift() -> None:
    norm = LayerNorm(8)
    with torch.no_grad():
        norm.bias.fill_(0.25)
    assert torch.equal(norm(torch.full((1, 1, 8), 7.0)), torch.full((1, 1, 8), 0.25))
