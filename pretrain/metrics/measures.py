"""What a step measures beside loss and gradient norm, on the device: by source, and the largest gradient.

Nothing here waits for the device or talks to other ranks: the sums travel in reductions that the step makes anyway.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pretrain.types import IGNORE, Batch

HASH_BITS = 64


def targets_by_source(batches: list[Batch], num_sources: int) -> Tensor:
    """Return (sources,) int64, this rank's targets that come from each source.

    Args:
        batches: this rank's micro batches. num_sources: of the run; with one no batch names its sources.
    """
    if num_sources == 1:
        return torch.stack([(batch.targets_BT != IGNORE).sum() for batch in batches]).sum().unsqueeze(0)
    counts_N = torch.cat([(batch.targets_BT != IGNORE).sum(dim=1) for batch in batches])
    return sum_by_source(counts_N, batches, num_sources)


def sum_by_source(values_N: Tensor, batches: list[Batch], num_sources: int) -> Tensor:
    """Return (sources,), the values of this rank's sequences added up by source. The same bits on every run.

    Args:
        values_N: (sequences,) in the order of the batches.
    """
    # never index_add: on GPUs it adds in any order
    sources_N = torch.cat([batch.sources_B for batch in batches if batch.sources_B is not None])
    is_of_SN = sources_N == torch.arange(num_sources, device=values_N.device).unsqueeze(1)
    return torch.where(is_of_SN, values_N, 0).sum(dim=1)


def signed_hash(batches: list[Batch]) -> int:
    """Return the sum of this rank's hashes modulo 2^64, as int64 holds it: those of all ranks then add up likewise."""
    total = sum(batch.hash for batch in batches) % (1 << HASH_BITS)
    return total - (1 << HASH_BITS) if total >> (HASH_BITS - 1) else total


def largest_gradient(model: nn.Module) -> tuple[Tensor, Tensor]:
    """Return () float32, the largest absolute value in any gradient, and () int64, the number of its parameter.

    A NaN is larger than all. A parameter without a gradient counts as 0.
    """
    parameters = list(model.parameters())
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    found = peaks(gradients, at_once=gradients[0].device.type == "cuda")
    if len(gradients) < len(parameters):
        of_each, nothing = iter(found), found.new_zeros(())
        found = torch.stack([nothing if parameter.grad is None else next(of_each) for parameter in parameters])
    largest, place = found.max(dim=0)
    return largest.float(), place


def peaks(tensors: list[Tensor], at_once: bool) -> Tensor:
    """Return (tensors,), the largest absolute value of each.

    Args:
        at_once: in few kernels, as GPUs want it; on CPUs that loop takes 50 times as long as the other.
    """
    if at_once:
        return torch.stack(torch._foreach_norm(tensors, torch.inf))
    lows, highs = zip(*(torch.aminmax(tensor) for tensor in tensors), strict=True)
    return torch.maximum(-torch.stack(lows), torch.stack(highs))
