"""A small model, its gradients and its bits: what the tests of each optimizer step with."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pretrain.seats import Optimizer

LRS = [1e-2, 5e-3, 2e-2, 1e-3]
GOOD, BAD, WHOLE = torch.tensor(0.0), torch.tensor(1.0), torch.tensor(1.0)


def make_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(7, 5), nn.LayerNorm(5), nn.Linear(5, 33))


def give_gradients(model: nn.Module, step: int, scale: float = 1.0) -> None:
    generator = torch.Generator().manual_seed(step)
    for parameter in model.parameters():
        parameter.grad = scale * torch.randn(parameter.shape, generator=generator)


def bits(model: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    live = {**dict(model.named_parameters()), **optimizer.tensors()}
    return {name: tensor.detach().reshape(-1).view(torch.int32).clone() for name, tensor in live.items()}
