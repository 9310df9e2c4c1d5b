"""Axes: where the ticks stand, where a value lies between 0 and 1, how a number is written."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)  # of a decade: what people read without counting
MAX_LOG_TICKS = 7


def number(value: float | int | None, digits: int = 4) -> str:
    """Return a number as people read it: `1,234,567`, `0.000312`, `3.142`, `1.2e-09`, `NaN`, `∞`; None as a dash."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("∞" if value > 0 else "-∞")
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def short(value: float) -> str:
    """Return a tick's number in few characters: `12k`, `1.5M`, `0.002`, `3e-5`."""
    for limit, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{suffix}"
    if 0 < abs(value) < 1e-3:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:.4g}"


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis from `low` to `high` with its ticks.

    Attributes:
        low, high: the ends, low < high; both > 0 when `log`.
        ticks: the values that get a label, rising, inside the ends.
        log: logarithmic.
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    log: bool = False

    def place(self, values: np.ndarray) -> np.ndarray:
        """Return where values lie: 0 at `low`, 1 at `high`, held inside.

        Args:
            values: (n,) float64, finite; not above 0 lies at 0 on a logarithmic axis.
        """
        if self.log:
            values = np.log(np.maximum(values, self.low))
            low, high = math.log(self.low), math.log(self.high)
        else:
            low, high = self.low, self.high
        places: np.ndarray = np.clip((values - low) / (high - low), 0.0, 1.0)
        return places


def linear_axis(low: float, high: float, num_ticks: int = 6) -> Axis:
    """Return an axis that ends where the data ends, with about `num_ticks` round ticks."""
    low, high = _spread(low, high)
    rough = (high - low) / num_ticks
    decade = 10.0 ** math.floor(math.log10(rough))
    step = next(s * decade for s in STEPS if s * decade >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    ticks = [i * step for i in range(first, first + 4 * num_ticks) if i * step <= high + step * 1e-9]
    return Axis(low, high, tuple(round(tick, 12) if decade > 1e-9 else tick for tick in ticks))


def log_axis(low: float, high: float) -> Axis:
    """Return a logarithmic axis for values > 0, ticks at 1, 2 and 5 of a decade, at decades where those are many."""
    if low == high:
        low, high = low / 2, high * 2
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for marks in ((1, 2, 5), (1,)):
        ticks = [m * 10.0**d for d in decades for m in marks if low <= m * 10.0**d <= high]
        if len(ticks) <= MAX_LOG_TICKS:
            break
    if len(ticks) < 3:  # less than a decade
        ticks = [tick for tick in linear_axis(low, high).ticks if low <= tick <= high]
    every = max(1, math.ceil(len(ticks) / MAX_LOG_TICKS))
    return Axis(low, high, tuple(ticks[::every]), log=True)


def _spread(low: float, high: float) -> tuple[float, float]:
    if high > low and high - low > 1e-9 * max(abs(low), abs(high)):
        return low, high
    half = abs(low) * 0.05 or 0.5
    return low - half, high + half
