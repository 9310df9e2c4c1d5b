"""GPT-2's initialisation: the same weights at any world size, on any device, in any order of construction."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from foundation.hashes import hash_json

STD = 0.02  # GPT-2 (Radford et al. 2019), section 2.3; close to 1/sqrt(3 d_model) at d_model 768

# The projections that add into the residual stream. Their sum over 2 * num_layers additions would grow with depth.
RESIDUAL_PROJECTIONS = ("attention.out.weight", "feed_forward.down.weight")


def init_parameters(model: nn.Module, seed: int, num_layers: int) -> None:
    """Fill every parameter: norms 1, biases 0, weights N(0, STD), residual projections scaled by 1/sqrt(2 num_layers).

    Each parameter has a CPU generator of its own, seeded by (seed, its name), and its rows are drawn in order: so a
    larger padded vocabulary leaves the other weights as they are.

    Args:
        model: any device but meta; names decide the rule.
        seed: of the run.
        num_layers: blocks that add into the residual stream, two additions each.
    """
    residual_std = STD / math.sqrt(2 * num_layers)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            std = residual_std if name.endswith(RESIDUAL_PROJECTIONS) else STD
            parameter.copy_(_initial(name, parameter.shape, std, seed))


def _initial(name: str, shape: torch.Size, std: float, seed: int) -> Tensor:
    if name.endswith(".bias"):
        return torch.zeros(shape)
    if len(shape) == 1:
        return torch.ones(shape)  # the gain of a norm
    return normal(name, shape, std, seed)


def normal(name: str, shape: torch.Size, std: float, seed: int) -> Tensor:
    """Return N(0, std) float32 of this shape on the CPU, a function of (seed, name) alone, its rows drawn in order.

    Args:
        name: of the parameter, which gives it a generator of its own.
        shape: of the parameter.
        std: standard deviation.
        seed: of the run.
    """
    generator = torch.Generator().manual_seed(int(hash_json([seed, name])[:16], 16) >> 1)  # a seed is 63 bits
    return torch.empty(shape).normal_(0.0, std, generator=generator)
