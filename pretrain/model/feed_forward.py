"""The feed-forward half of a block."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from pretrain.model.dropout import dropout

WIDENING = 4  # width of the hidden layer in d_model, as in GPT-2


class FeedForward(nn.Module):
    """Two linear layers with a GELU between, `down(gelu(up(x)))`, position by position.

    Args:
        d_model: size of the last dim.
        dropout: probability of zeroing an output, where keys are given.
    Source: GPT-2; GELU in its tanh form (Hendrycks and Gimpel, arXiv:1606.08415, section 2).
    """

    def __init__(self, d_model: int, dropout: float) -> None:
        super().__init__()
        self.up = nn.Linear(d_model, WIDENING * d_model)
        self.down = nn.Linear(WIDENING * d_model, d_model)
        self.dropout = dropout

    def forward(self, x_BTD: Tensor, keys_B2: Tensor | None = None) -> Tensor:
        """Return (B, T, D).

        Args:
            x_BTD: (B, T, D).
            keys_B2: (B, 2) int32, `site_keys` of the output; None drops nothing.
        """
        h_BTF = F.gelu(self.up(x_BTD), approximate="tanh")
        y_BTD: Tensor = self.down(h_BTF)
        return y_BTD if keys_B2 is None else dropout(y_BTD, self.dropout, keys_B2)
