"""What is looked at of weights and gradients: norms, zeros, and how far an update moved them; all on the device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def sample(values: Tensor, most: int | None) -> Tensor:
    """Return a view of at most `most` elements of a tensor, evenly spread; all of them where there are no more.

    Their distance is odd: an even one would walk down a few columns of a matrix, whose widths are even.

    Args:
        values: of any shape. most: elements; None for all.
    Returns:
        (n,) view; a copy where the tensor is not contiguous.
    """
    flat = values.detach().reshape(-1)
    if most is None or flat.numel() <= most:
        return flat
    stride = -(-flat.numel() // most)
    return flat[:: stride + 1 - stride % 2]


def zero_shares(gradients: Sequence[Tensor | None], device: torch.device) -> Tensor:
    """Return (tensors,) float32, the share of elements that are exactly 0 in each; 1 where there is no gradient.

    Args:
        device: of them.
    """
    nothing = torch.ones((), device=device)
    return torch.stack([nothing if gradient is None else _zero_share(gradient) for gradient in gradients])


def _zero_share(gradient: Tensor) -> Tensor:
    return (gradient.numel() - torch.count_nonzero(gradient)) / gradient.numel()


class Update:
    """How far the update of one step moves the weights: what they were before it is kept, a sample of each parameter.

    Args:
        parameters: of the model. most: elements kept of each; None for all.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], most: int | None) -> None:
        self._parameters, self._most = parameters, most
        self._before = [sample(parameter, most).clone() for parameter in parameters]

    def norms(self) -> tuple[Tensor, Tensor]:
        """Return (parameters,) float32 twice: L2 norms of the update and of the weights before it. Called once.

        Those of a sample are scaled up to the whole parameter.
        """
        after = [sample(parameter, self._most) for parameter in self._parameters]
        scales = [(p.numel() / kept.numel()) ** 0.5 for p, kept in zip(self._parameters, self._before, strict=True)]
        weights = torch._foreach_norm(self._before)
        torch._foreach_mul_(weights, scales)
        torch._foreach_sub_(self._before, after)  # nothing else needs them, and another copy would be a model more
        moved = torch._foreach_norm(self._before)
        torch._foreach_mul_(moved, scales)
        return torch.stack(moved).float(), torch.stack(weights).float()
