"""The last accepted values of a few series, with their median and spread: on the device, in fixed shapes, no sync.

Shape suffixes: K series, W places of the window.
"""

from __future__ import annotations

import math
import statistics

import torch
from torch import Tensor

# The median absolute deviation times this is the standard deviation of normally distributed values.
MAD_TO_STD = 1.4826


class Window:
    """Ring buffers of the last `size` accepted values of K series, all accepted or rejected together.

    Attributes:
        values_KW: (num_series, size) float32; places not written since the series began are not looked at.
        count_K: (num_series,) int64, values accepted since the series began; the next goes to place count_K % size.
    """

    def __init__(self, num_series: int, size: int, device: torch.device) -> None:
        self.values_KW = torch.zeros(num_series, size, device=device)
        self.count_K = torch.zeros(num_series, dtype=torch.int64, device=device)
        self._places_W = torch.arange(size, device=device)

    def add(self, values_K: Tensor, accepted: Tensor) -> None:
        """Put one value of each series into the window, or, where `accepted` is False, leave every bit of it.

        Args:
            values_K: (num_series,) float32; anything when rejected, NaN too.
            accepted: () bool.
        """
        here_KW = (self._places_W == self.count_K[:, None] % len(self._places_W)) & accepted
        # where, never multiplication: 0 * NaN is NaN
        self.values_KW.copy_(torch.where(here_KW, values_K[:, None], self.values_KW))
        self.count_K.add_(accepted)

    def begin_anew(self, series_K: Tensor) -> None:
        """Forget all values of the series where `series_K`, (num_series,) bool, is True."""
        self.count_K.masked_fill_(series_K, 0)

    def center_and_spread(self) -> tuple[Tensor, Tensor]:
        """Return medians and spreads (1.4826 times the median absolute deviation), each (num_series,) float32.

        The current value never takes part: judge first, then add. Both are NaN for an empty series.
        """
        held_K = self.count_K.clamp(max=len(self._places_W))
        held_KW = self._places_W < held_K[:, None]
        center_K = _median(self.values_KW, held_KW, held_K)
        deviations_KW = (self.values_KW - center_K[:, None]).abs()
        return center_K, MAD_TO_STD * _median(deviations_KW, held_KW, held_K)

    def highest(self) -> Tensor:
        """Return the largest value of each series, (num_series,) float32; -inf for an empty one."""
        held_KW = self._places_W < self.count_K[:, None]
        return torch.where(held_KW, self.values_KW, -torch.inf).amax(dim=1)


class PlainWindow(Window):
    """The same by sorting on the host, series by series, in float64. Each look is a host sync."""

    def center_and_spread(self) -> tuple[Tensor, Tensor]:
        """As in Window."""
        found = []
        for held in self._held():
            center = statistics.median(held) if held else float("nan")
            deviation = statistics.median([abs(value - center) for value in held]) if held else float("nan")
            found.append((center, MAD_TO_STD * deviation))
        center_and_spread_K2 = torch.tensor(found, dtype=torch.float32, device=self.values_KW.device)
        return center_and_spread_K2[:, 0], center_and_spread_K2[:, 1]

    def highest(self) -> Tensor:
        """As in Window."""
        return torch.tensor([max(held, default=-math.inf) for held in self._held()], device=self.values_KW.device)

    def _held(self) -> list[list[float]]:
        """Return the values of each series that are looked at."""
        return [values[:count] for values, count in zip(self.values_KW.tolist(), self.count_K.tolist(), strict=True)]


def _median(values_KW: Tensor, held_KW: Tensor, held_K: Tensor) -> Tensor:
    """Return (K,) medians over the places held; of an even number the mean of the two in the middle."""
    ordered_KW = torch.where(held_KW, values_KW, torch.nan).sort(dim=1).values  # NaN sorts behind all numbers
    middle_K2 = torch.stack([(held_K - 1) // 2, held_K // 2], dim=1).clamp(min=0)
    return ordered_KW.gather(1, middle_K2).mean(dim=1)
