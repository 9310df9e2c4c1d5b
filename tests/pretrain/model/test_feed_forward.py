"""The feed-forward half is its formula, position by position."""

from __future__ import annotations

import math

import torch

from pretrain.model.dropout import dropout, site_keys
from pretrain.model.feed_forward import WIDENING, FeedForward


def test_it_is_gelu_in_its_tanh_form_between_two_layers() -> None:
    torch.manual_seed(5)
    layer, x_BTD = FeedForward(8, dropout=0.0), torch.randn(2, 3, 8)
    h = x_BTD @ layer.up.weight.T + layer.up.bias
    assert h.shape == (2, 3, 8 * WIDENING)
    gelu = 0.5 * h * (1 + torch.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h**3)))
    torch.testing.assert_close(layer(x_BTD), gelu @ layer.down.weight.T + layer.down.bias)


def test_a_position_depends_on_itself_alone() -> None:
    torch.manual_seed(6)
    layer, x_BTD = FeedForward(8, dropout=0.0), torch.randn(1, 5, 8)
    torch.testing.assert_close(layer(x_BTD)[:, 2:3], layer(x_BTD[:, 2:3]))


def test_dropout_zeroes_outputs_where_keys_are_given() -> None:
    torch.manual_seed(7)
    layer, x_BTD, keys_B2 = FeedForward(8, dropout=0.5), torch.randn(4, 50, 8), site_keys(torch.arange(4), 1)[0]
    torch.testing.assert_close(layer(x_BTD, keys_B2), dropout(layer(x_BTD), 0.5, keys_B2))
    assert not (layer(x_BTD) == 0).any()
