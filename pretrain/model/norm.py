"""Layer normalisation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-5  # GPT-2's; also torch's default


class LayerNorm(nn.Module):
    """Normalise the last dim to mean 0 and variance 1, then scale and shift.

    Args:
        d_model: size of the last dim.
    Source: Ba et al., arXiv:1607.06450.
    """

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d_model))
        self.bias = nn.Parameter(torch.zeros(d_model))

    def forward(self, x_BTD: Tensor) -> Tensor:
        return F.layer_norm(x_BTD, self.weight.shape, self.weight, self.bias, EPS)
