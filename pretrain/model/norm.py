"""Layer normalisation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pretrain.pieces import NONE, choose

EPS = 1e-5  # GPT-2's; also torch's default


class LayerNorm(nn.Module):
    """Normalise the last dim to mean 0 and variance 1, then scale and shift.

    Args:
        d_model: size of the last dim.
        plain_pieces: of which `norm` is the formula.
    Source: Ba et al., arXiv:1607.06450.
    """

    def __init__(self, d_model: int, plain_pieces: frozenset[str] = NONE) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d_model))
        self.bias = nn.Parameter(torch.zeros(d_model))
        self._normalise = choose("norm", plain_pieces, normalise, normalise_plainly)

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self._normalise(x_BTD, self.weight, self.bias)


def normalise(x_BTD: Tensor, weight_D: Tensor, bias_D: Tensor) -> Tensor:
    """Return (B, T, D), the last dim normalised, times a weight, plus a bias: torch's kernel."""
    return F.layer_norm(x_BTD, weight_D.shape, weight_D, bias_D, EPS)


def normalise_plainly(x_BTD: Tensor, weight_D: Tensor, bias_D: Tensor) -> Tensor:
    """Return what `normalise` returns, by the formula, in float32 or above."""
    wide_BTD = x_BTD.to(torch.promote_types(x_BTD.dtype, torch.float32))
    centred_BTD = wide_BTD - wide_BTD.mean(-1, keepdim=True)
    variance_BT1 = (centred_BTD * centred_BTD).mean(-1, keepdim=True)  # divided by D, not D - 1
    return (centred_BTD / (variance_BT1 + EPS).sqrt() * weight_D + bias_D).to(x_BTD.dtype)
