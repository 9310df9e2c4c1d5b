"""The one way in which a check leaves a run as it was: what it was is held, and put back to the bit."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict

import torch
from torch import Tensor

from pretrain.checkpoint.state import random_states, restore_random_states
from pretrain.run import Run, state_of


@contextlib.contextmanager
def kept(run: Run, copies: bool) -> Iterator[None]:
    """Put the run back as it was when this block ends, however it ends.

    Weights, moments and counters, the guard's tensors and facts, buffers, gradients, random states, progress, which
    parts train, which parameters are frozen.

    Args:
        run: inside this block no parameter has a gradient at first: a backward adds in place.
        copies: whether weights and moments may change inside, so that a copy of them is held in host memory. Without
            it none is, which costs nothing, and that they stayed is seen by their version counters, which every
            operation in place raises.
    Raises:
        RuntimeError: without copies, weights or moments were changed; names them.
    """
    tensors = live_tensors(run)
    parameters = set(dict(run.model.named_parameters()))
    watched = {} if copies else {name: each for name, each in tensors.items() if is_large(name, parameters)}
    versions = {name: each._version for name, each in watched.items()}
    held = {name: each.detach().to("cpu", copy=True) for name, each in tensors.items() if name not in watched}
    progress, facts = asdict(run.progress), run.guard.facts()
    trains = [(module, module.training) for module in run.wrapped.modules()]
    learns = [(parameter, parameter.requires_grad) for parameter in run.model.parameters()]
    gradients = [(parameter, parameter.grad) for parameter in run.model.parameters()]
    buffers = [(m, dict(m._buffers), set(m._non_persistent_buffers_set)) for m in run.model.modules()]
    random = random_states(run.mesh.device)
    drop_gradients(run)
    try:
        yield
    finally:
        drop_gradients(run)
        for parameter, does in learns:
            parameter.requires_grad_(does)
        for module, does in trains:
            module.training = does
        for parameter, gradient in gradients:
            parameter.grad = gradient
        for module, by_name, unsaved in buffers:  # a forward may have put another there, added one or taken one away
            module._buffers.clear()
            module._buffers.update(by_name)
            module._non_persistent_buffers_set = unsaved
        with torch.no_grad():
            for name, before in held.items():
                tensors[name].copy_(before)
        for name, value in progress.items():
            setattr(run.progress, name, value)
        if run.guard.facts() != facts:
            run.guard.restore(facts)
        restore_random_states(random, run.mesh.device)
    if changed := [name for name, each in watched.items() if each._version != versions[name]]:
        raise RuntimeError(f"a check that updates nothing has changed {', '.join(changed[:4])}: the model's forward?")


def live_tensors(run: Run) -> dict[str, Tensor]:
    """Return all tensors of a run's state by name, and the buffers that a checkpoint leaves out."""
    buffers = {f"model.{name}": buffer for name, buffer in run.model.named_buffers()}
    return buffers | state_of(run).tensors


def is_large(name: str, parameters: set[str]) -> bool:
    """Return whether a tensor of the state is a weight, or a moment of one."""
    return name.startswith("optim.") or name.removeprefix("model.") in parameters


def drop_gradients(run: Run) -> None:
    """Drop all gradients: those of parameters that the optimizer doesn't hold, too."""
    run.optimizer.zero_grad()
    for parameter in run.model.parameters():
        parameter.grad = None
