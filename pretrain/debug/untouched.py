"""A run that a check may train, and that is bitwise what it was afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor

from pretrain.checkpoint.state import random_states, restore_random_states
from pretrain.run import Run


@contextlib.contextmanager
def untouched(run: Run) -> Iterator[None]:
    """Give back weights, buffers, moments, counters, gradients, modes and random states when the block is left.

    What the block changes is kept on the host meanwhile: no device needs memory for it.
    """
    parameters, modules = list(run.model.parameters()), list(run.model.modules())
    live = [*parameters, *run.model.buffers(), *run.optimizer.tensors().values()]
    kept = [tensor.detach().to("cpu", copy=True) for tensor in live]
    gradients: list[Tensor | None] = [parameter.grad for parameter in parameters]
    modes, states = [module.training for module in modules], random_states(run.mesh.device)
    for parameter in parameters:
        parameter.grad = None  # a backward adds in place
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, was in zip(live, kept, strict=True):
                tensor.copy_(was)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode
        restore_random_states(states, run.mesh.device)
