"""The feed-forward half of a block."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pretrain.model.dropout import drop_of
from pretrain.pieces import NONE, choose

WIDENING = 4  # width of the hidden layer in d_model, as in GPT-2


class FeedForward(nn.Module):
    """Two linear layers with a GELU between, `down(gelu(up(x)))`, position by position.

    Args:
        d_model: size of the last dim.
        dropout: probability of zeroing an output, where keys are given.
        plain_pieces: of which `gelu` and `dropout` run plainly.
    Source: GPT-2; GELU in its tanh form (Hendrycks and Gimpel, arXiv:1606.08415, section 2).
    """

    def __init__(self, d_model: int, dropout: float, plain_pieces: frozenset[str] = NONE) -> None:
        super().__init__()
        self.up = nn.Linear(d_model, WIDENING * d_model)
        self.down = nn.Linear(WIDENING * d_model, d_model)
        self.dropout = dropout
        self._gelu, self._drop = choose("gelu", plain_pieces, gelu, gelu_plainly), drop_of(plain_pieces)

    def forward(self, x_BTD: Tensor, keys_B2: Tensor | None = None) -> Tensor:
        """Return (B, T, D).

        Args:
            x_BTD: (B, T, D).
            keys_B2: (B, 2) int32, `site_keys` of the output; None drops nothing.
        """
        h_BTF = self._gelu(self.up(x_BTD))
        y_BTD: Tensor = self.down(h_BTF)
        return y_BTD if keys_B2 is None else self._drop(y_BTD, self.dropout, keys_B2)


def gelu(h: Tensor) -> Tensor:
    """Return the activation of each value, any shape: torch's kernel."""
    return F.gelu(h, approximate="tanh")


def gelu_plainly(h: Tensor) -> Tensor:
    """Return what `gelu` returns, by the formula, in float32 or above."""
    wide = h.to(torch.promote_types(h.dtype, torch.float32))
    bent = torch.tanh(math.sqrt(2 / math.pi) * (wide + 0.044715 * wide * wide * wide))
    return (0.5 * wide * (1 + bent)).to(h.dtype)
