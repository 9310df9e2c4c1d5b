"""Speed over the last steps. The times it is given are of training alone: the run's clock stands still elsewhere."""

from __future__ import annotations

import statistics
from collections import deque


def step_time(seconds: float) -> str:
    """Return a step's time with three digits: `93.4 ms`, `13.3 s`."""
    amount, unit = (1000 * seconds, "ms") if 1000 * seconds < 999.5 else (seconds, "s")
    decimals = next(places for places, limit in ((2, 9.995), (1, 99.95), (0, float("inf"))) if amount < limit)
    return f"{amount:,.{decimals}f} {unit}"


class StepTimes:
    """The times of the last steps.

    The median is what a step takes; the sum is what the run gets done: a pause every tenth step is in the second alone.

    Args:
        window_steps: how many steps back it looks.
    """

    def __init__(self, window_steps: int) -> None:
        self._times_s: deque[float] = deque(maxlen=window_steps)
        self._tokens: deque[float] = deque(maxlen=window_steps)

    def add(self, step_time_s: float, num_tokens: float) -> None:
        """Take one step: its seconds, and the tokens it was over."""
        self._times_s.append(step_time_s)
        self._tokens.append(num_tokens)

    @property
    def median_s(self) -> float:
        """Median seconds of a step; 0 before the first."""
        return statistics.median(self._times_s) if self._times_s else 0.0

    @property
    def tokens_per_s(self) -> float:
        """Tokens a second over all steps of the window; 0 before the first."""
        return sum(self._tokens) / total if (total := sum(self._times_s)) else 0.0

    def left_s(self, num_steps: int) -> float:
        """Return the seconds that `num_steps` more take at the mean speed of the window."""
        return num_steps * sum(self._times_s) / len(self._times_s) if self._times_s else 0.0
