"""A run whose loss stays above that of its fresh weights, which may rise so smoothly that no guard stirs, or is NaN."""

from __future__ import annotations

import math
from typing import Any

from pretrain.journal import DIVERGING

IN_ROW = 10
ABOVE_NATS = 1.0  # warm-up and small batches have a loss some tenths above the first


class Diverging:
    """Compares each loss with the run's first one; of a start that goes on from a checkpoint it says nothing.

    Attributes:
        not_finite_since: the first of the last steps whose loss was NaN or infinite; None where the last was finite.
    """

    def __init__(self) -> None:
        self._first_loss: float | None = None
        self._in_row = 0
        self.not_finite_since: int | None = None

    def go_back(self) -> None:
        """Count anew: the run goes on from an earlier step, and the steps behind it are no longer its own."""
        self._in_row = 0

    def take(self, step: int, loss: float, lr: float) -> dict[str, Any] | None:
        """Take the loss of a step that was not skipped, in nats per token; return the journal's line, once, or None.

        Args:
            step: steps done with it. lr: its learning rate.
        """
        self.not_finite_since = None if math.isfinite(loss) else self.not_finite_since or step
        if step == 1:
            self._first_loss, self._in_row = loss, 0
        first = self._first_loss
        if first is None:
            return None
        self._in_row = self._in_row + 1 if loss > first + ABOVE_NATS else 0
        if self._in_row < IN_ROW:
            return None
        self._first_loss = None
        return {"event": DIVERGING, "step": step, "loss": loss, "first_loss": first, "steps": IN_ROW, "lr": lr}


def told(line: dict[str, Any]) -> str:
    """Return in words what such a line of the journal tells, and what to do; an infinite loss may be spelled in it."""
    return (
        f"step {line['step']}: the loss, {float(line['loss']):.4g}, has been above that of the fresh weights, "
        f"{line['first_loss']:.4g}, for {line['steps']} steps: the run diverges, most often for its learning rate, "
        f"{line['lr']:.3g} now; stop it, and lower optim.lr or lengthen schedule.warmup_steps"
    )
