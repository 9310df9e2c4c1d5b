"""Faults put into a run: of the data, which come again with their batch, and of the machine, which don't."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn

import pretrain.train as loop
from pretrain.run import Run
from pretrain.types import Batch, Status


class Seen:
    """Knows which batch a run is at; what it was given stays readable."""

    def __init__(self, run: Run) -> None:
        self.taken: list[int] = []
        real = run.loader.micro_batches

        def micro_batches(data_step: int) -> list[Batch]:
            self.taken.append(data_step)
            return real(data_step)

        run.loader.micro_batches = micro_batches  # type: ignore[method-assign]


class Fault(Seen):
    """Changes what the model's last norm gives while it trains: `change` says how.

    Attributes:
        everywhere: whether in all micro batches, not in a step's first alone.
    """

    everywhere = False

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._num_micro_batches, self._calls = run.plan.grad_accum_steps, 0
        run.model.final_norm.register_forward_hook(self)  # type: ignore[union-attr, operator]

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        if not module.training:
            return None
        first = self._calls % self._num_micro_batches == 0
        self._calls += 1
        return self.change(self.taken[-1], output) if (first or self.everywhere) and self.taken else None

    def change(self, data_step: int, output: Tensor) -> Tensor | None:
        """Return the output in place of this one; None leaves it."""
        raise AssertionError(f"{type(self).__name__} says nothing of batch {data_step}")


class BadData(Fault):
    """Makes activations NaN in some batches, each time they are taken.

    Args:
        batches: their data steps. times: how often at most, in all; None: always.
    """

    def __init__(self, run: Run, batches: Collection[int], times: int | None = None) -> None:
        super().__init__(run)
        self.batches, self.left = batches, math.inf if times is None else times

    def change(self, data_step: int, output: Tensor) -> Tensor | None:
        if data_step not in self.batches or self.left <= 0:
            return None
        self.left -= 1
        return output * math.nan


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


def finish(run: Run) -> Status:
    """Train to the end and close everything; return how it ended."""
    status = loop.train(run)
    run.loader.close()
    run.log.close(status.value)
    run.checkpointer.close()
    return status
