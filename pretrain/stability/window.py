"""The last accepted values of a few series, with their median and spread: on the device, in fixed shapes, no sync.

Shape suffixes: K series, W places of the window, H numbers of values held.
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
        held = torch.arange(size + 1, device=device)
        # of so many held values in order: the two in the middle, one twice for an odd number, and the last
        middle_and_last = torch.stack([(held - 1) // 2, held // 2, held - 1], dim=1)
        self._middle_and_last_H3 = middle_and_last.clamp(min=0)

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

    def look(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return medians, spreads and largest values, each (num_series,) float32; NaN for an empty series.

        The median of an even number is the mean of the two in the middle, the spread 1.4826 times the median absolute
        deviation. The current value never takes part: look first, then add. As few operations as it goes: each costs a
        launch in every step, and they compute next to nothing.
        """
        places_K3 = self._middle_and_last_H3[self.count_K.clamp(max=len(self._places_W))]
        held_KW = torch.where(self._places_W < self.count_K[:, None], self.values_KW, torch.nan)
        ordered_K3 = held_KW.sort(dim=1).values.gather(1, places_K3)  # NaN sorts behind all numbers
        center_K1 = ordered_K3[:, :2].mean(dim=1, keepdim=True)
        deviations_K2 = (held_KW - center_K1).abs().sort(dim=1).values.gather(1, places_K3[:, :2])
        return center_K1[:, 0], MAD_TO_STD * deviations_K2.mean(dim=1), ordered_K3[:, 2]


class PlainWindow(Window):
    """The same by sorting on the host, series by series, in float64. Each look is a host sync."""

    def look(self) -> tuple[Tensor, Tensor, Tensor]:
        """As in Window."""
        series = zip(self.values_KW.tolist(), self.count_K.tolist(), strict=True)
        found = [_look(values[:count]) for values, count in series]
        center_K, spread_K, highest_K = torch.tensor(found, dtype=torch.float32, device=self.values_KW.device).T
        return center_K, spread_K, highest_K


def _look(held: list[float]) -> tuple[float, float, float]:
    if not held:
        return math.nan, math.nan, math.nan
    center = statistics.median(held)
    return center, MAD_TO_STD * statistics.median([abs(value - center) for value in held]), max(held)
