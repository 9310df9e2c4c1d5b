"""A loss that rises slowly: no step stands out from those before it, and yet the run gets worse."""

from __future__ import annotations

import math
import statistics
from typing import Any

MAD_TO_STD = 1.4826
NOISE = 2.0  # robust standard deviations of single losses: two medians of 32 differ by that once in 10^9 pairs


class Rise:
    """Compares the median of the last accepted losses with the lowest such median of a while.

    Args:
        rise_nats: how far above it is a rise; None never is.
        window_steps: accepted losses a median is of.
        memory_steps: how many steps back a median counts.
    Attributes:
        onset: (step, data_step) after which the loss rose; of the last rise found.
    """

    def __init__(self, rise_nats: float | None, window_steps: int, memory_steps: int) -> None:
        self._rise_nats, self._window_steps, self._memory_steps = rise_nats, window_steps, memory_steps
        self._every = max(1, window_steps // 4)  # medians that share most of their losses tell little more
        self._losses: list[float] = []
        self._count = 0
        # [step, data_step, median, spread], medians rising: the first is the lowest of all, each other of all after it
        self._lows: list[list[float]] = []
        self.onset = (0, 0)

    def add(self, step: int, data_step: int, loss: float) -> str:
        """Take an accepted loss, in nats; return what has risen, in words, or nothing."""
        if self._rise_nats is None:
            return ""
        self._losses = [*self._losses, loss][-self._window_steps :]
        self._count += 1
        if len(self._losses) < self._window_steps or self._count % self._every:
            return ""
        median = statistics.median(self._losses)
        spread = MAD_TO_STD * statistics.median(abs(value - median) for value in self._losses)
        lows = [low for low in self._lows if low[0] > step - self._memory_steps and low[2] < median]
        self._lows = [*lows, [step, data_step, median, spread]]
        _, _, lowest, usual = self._lows[0]
        if median - lowest <= max(self._rise_nats, NOISE * usual):
            return ""
        # it set out from the last place where less than half of the rise was done
        before = [low for low in self._lows if low[2] <= (lowest + median) / 2]
        self.onset = int(before[-1][0]), int(before[-1][1])
        return (
            f"the median of the last {self._window_steps} losses, {median:.4g}, is {median - lowest:.2g} above that at "
            f"step {int(self._lows[0][0])}"
        )

    def forget(self) -> None:
        """Take the loss as it is now for the usual one."""
        self._losses, self._lows = [], []

    def facts(self) -> dict[str, Any]:
        """Return its state as JSON values."""
        return {"losses": self._losses, "count": self._count, "lows": self._lows}

    def restore(self, facts: dict[str, Any]) -> None:
        """Take back what `facts` gave."""
        self._losses, self._count = [float(loss) for loss in facts["losses"]], int(facts["count"])
        self._lows = [[float(value) for value in low] for low in facts["lows"]]
        assert all(math.isfinite(loss) for loss in self._losses)
