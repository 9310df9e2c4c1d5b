"""The gradient's norm per layer, and of the loss by the embedding of each position."""

from __future__ import annotations

from types import TracebackType

import torch
from torch import Tensor, nn


def layer_norms(model: nn.Module) -> dict[str, float]:
    """Return layer -> L2 norm of its gradient, 0 where there is none.

    A layer is a module of the model, or of its lists: `token_embedding`, `blocks.0`, `final_norm`.
    """
    squares: dict[str, float] = {}
    for name, parameter in model.named_parameters():
        parts = name.split(".")
        layer = ".".join(parts[: 2 if len(parts) > 1 and parts[1].isdigit() else 1])
        norm = 0.0 if parameter.grad is None else torch.linalg.vector_norm(parameter.grad.float()).item()
        squares[layer] = squares.get(layer, 0.0) + norm**2
    return {layer: square**0.5 for layer, square in squares.items()}


class PositionGradients:
    """Within its context, keeps what the model's first nn.Embedding gives for tokens of this shape, with its gradient.

    Args:
        model: whose tokens an nn.Embedding looks up.
        shape: (B, T) of the tokens.
    """

    def __init__(self, model: nn.Module, shape: torch.Size) -> None:
        self._embeddings = [module for module in model.modules() if isinstance(module, nn.Embedding)]
        self._shape, self._looked_up = shape, list[Tensor]()

    def __enter__(self) -> PositionGradients:
        self._handles = [module.register_forward_hook(self._keep) for module in self._embeddings]
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for handle in self._handles:
            handle.remove()

    def norms(self) -> list[float]:
        """Return T numbers, the L2 norm of the gradient of each position over sequences and width; [] where none is."""
        if not self._looked_up or self._looked_up[0].grad is None:
            return []
        found: list[float] = self._looked_up[0].grad.float().square().sum(dim=(0, 2)).sqrt().tolist()
        return found

    def _keep(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if not self._looked_up and inputs[0].shape == self._shape and output.requires_grad:
            output.retain_grad()
            self._looked_up.append(output)
