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


def check_that_a_bad_step_changes_no_bit(model: nn.Module, optimizer: Optimizer, poison: float, done: int) -> None:
    """Take `done` good steps and a bad one, whose gradients hold `poison`: parameters and state stay bit for bit."""
    for step in range(done):
        give_gradients(model, step)
        optimizer.step(1e-2, GOOD.clone(), WHOLE.clone())
    before = bits(model, optimizer)
    assert len(before) == len(list(model.parameters())) + len(optimizer.tensors())
    give_gradients(model, step=99)
    model[2].weight.grad[3, 2] = poison
    optimizer.step(1e-2, BAD.clone(), torch.tensor(poison))
    for name, tensor in bits(model, optimizer).items():
        assert torch.equal(tensor, before[name]), name
