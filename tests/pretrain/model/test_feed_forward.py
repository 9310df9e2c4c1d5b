"""The feed-forward half is its formula, position by position."""

from __future__ import annotations

import math

import pytest
import torch

from pretrain.model.dropout import dropout, site_keys
from pretrain.model.feed_forward import WIDENING, FeedForward, gelu, gelu_plainly
from pretrain.pieces import NONE


@pytest.mark.parametrize("plain_pieces", [NONE, frozenset({"gelu"})])
def test_it_is_gelu_in_its_tanh_form_between_two_layers(plain_pieces: frozenset[str]) -> None:
    torch.manual_seed(5)
    layer, x_BTD = FeedForward(8, 0.0, plain_pieces), torch.randn(2, 3, 8)
    h = x_BTD @ layer.up.weight.T + layer.up.bias
    assert h.shape == (2, 3, 8 * WIDENING)
    gelu = 0.5 * h * (1 + torch.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h**3)))
    torch.testing.assert_close(layer(x_BTD), gelu @ layer.down.weight.T + layer.down.bias)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_plain_formula_is_the_kernel_with_its_gradient(dtype: torch.dtype) -> None:
    h = (4 * torch.randn(50, 21, generator=torch.Generator().manual_seed(8))).to(dtype)
    fast, plain = h.clone().requires_grad_(), h.clone().requires_grad_()
    near = {"rtol": 0.02, "atol": 0.02} if dtype is torch.bfloat16 else {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(gelu_plainly(plain), gelu(fast), **near)
    gelu(fast).sum().backward()
    gelu_plainly(plain).sum().backward()
    torch.testing.assert_close(plain.grad, fast.grad, **near)


def test_a_position_depends_on_itself_alone() -> None:
    torch.manual_seed(6)
    layer, x_BTD = FeedForward(8, dropout=0.0), torch.randn(1, 5, 8)
    torch.testing.assert_close(layer(x_BTD)[:, 2:3], layer(x_BTD[:, 2:3]))


def test_dropout_zeroes_outputs_where_keys_are_given() -> None:
    torch.manual_seed(7)
    layer, x_BTD, keys_B2 = FeedForward(8, dropout=0.5), torch.randn(4, 50, 8), site_keys(torch.arange(4), 1)[0]
    torch.testing.assert_close(layer(x_BTD, keys_B2), dropout(layer(x_BTD), 0.5, keys_B2))
    assert not (layer(x_BTD) == 0).any()
