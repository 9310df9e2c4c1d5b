"""Faults put into a run: of the data, which come again with their batch, and of the machine, which don't."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn

import pretrain.train as loop
from pretrain.run import Run
from pretrain.types import Batch


class Seen:
    """Knows which batch a run is at; what it was given stays readable."""

    def __init__(self, run: Run) -> None:
        self.taken: list[int] = []
        real = run.loader.micro_batches

        def micro_batches(data_step: int) -> list[Batch]:
            self.taken.append(data_step)
            return real(data_step)

        run.loader.micro_batches = micro_batches  # type: ignore[method-assign]


class BadData(Seen):
    """Makes the first micro batch's activations NaN in some batches, each time they are taken.

    Args:
        batches: their data steps. times: how often at most, in all; None: always.
    """

    def __init__(self, run: Run, batches: Collection[int], times: int | None = None, factor: float = math.nan) -> None:
        super().__init__(run)
        self.batches, self.left, self.factor, self.calls = batches, math.inf if times is None else times, factor, 0
        self.run = run
        run.model.final_norm.register_forward_hook(self)  # type: ignore[union-attr, operator]

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        if not module.training:
            return None
        first = self.calls % self.run.plan.grad_accum_steps == 0
        self.calls += 1
        if not first or not self.taken or self.taken[-1] not in self.batches or self.left <= 0:
            return None
        self.left -= 1
        return output * self.factor


def flip_a_bit(run: Run, at_data_step: int) -> None:
    """Change one bit of one weight, once, as a faulty machine may."""
    seen, done = Seen(run), []
    real: Any = loop.forward_backward

    def flips(given: Run, batches: list[Batch]) -> Any:
        if given is run and seen.taken[-1] == at_data_step and not done:
            done.append(True)
            run.model.final_norm.weight.data.view(torch.int32)[0] ^= 1 << 12  # type: ignore[union-attr]
        return real(given, batches)

    loop.forward_backward = flips
