"""How well scores tell good examples from bad ones: what a limit takes out, and the area under the ROC curve."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))


@dataclass(frozen=True, slots=True)
class Limited:
    """What becomes of examples when those with a score below `least` go.

    Attributes:
        least: the limit.
        hits: bad examples that go.
        false_alarms: good ones that go.
        missed: bad ones that stay.
        kept: good ones that stay.
    """

    least: float
    hits: int
    false_alarms: int
    missed: int
    kept: int

    @property
    def precision(self) -> float:
        """Share of the bad among those that go; NaN where none goes."""
        return _share(self.hits, self.hits + self.false_alarms)

    @property
    def recall(self) -> float:
        """Share of the bad that go."""
        return _share(self.hits, self.hits + self.missed)

    @property
    def f1(self) -> float:
        """Harmonic mean of both; 0 where no bad one goes."""
        return _share(2 * self.hits, 2 * self.hits + self.false_alarms + self.missed)

    @property
    def good_kept(self) -> float:
        """Share of the good that stay."""
        return _share(self.kept, self.kept + self.false_alarms)


def limited(scores: np.ndarray, is_good: np.ndarray, least: float) -> Limited:
    """Return what a limit does.

    Args:
        scores: (n,) float64, probabilities of being good.
        is_good: (n,) bool.
    """
    goes, bad = scores < least, ~is_good
    counts = (goes & bad, goes & is_good, ~goes & bad, ~goes & is_good)
    return Limited(least, *(int(each.sum()) for each in counts))


def best_limit(scores: np.ndarray, is_good: np.ndarray) -> Limited:
    """Return the limit with the greatest F1 for the bad, of several the lowest; it lies in the middle of two scores."""
    order = np.argsort(scores, kind="stable")
    in_order = scores[order]
    hits = np.cumsum(~is_good[order])  # were all up to this one to go
    goes = np.arange(1, len(scores) + 1)
    f1 = 2 * hits / (goes + hits[-1])
    # no limit parts equal scores, and none lies above 1
    splits = np.append(in_order[1:] > in_order[:-1], in_order[-1] < 1)
    best = int(np.argmax(np.where(splits, f1, -1.0)))
    above = in_order[best + 1] if best + 1 < len(scores) else 1.0
    middle = float(in_order[best] + above) / 2
    for digits in range(2, 17):  # what can be typed, as long as it parts the same scores
        if in_order[best] < (short := round(middle, digits)) <= above:
            return limited(scores, is_good, short)
    return limited(scores, is_good, middle)


def area_under_curve(scores: np.ndarray, is_good: np.ndarray) -> float:
    """Return the probability that a good example has a higher score than a bad one, ties counting half.

    Source: Hanley and McNeil, Radiology 143, 1982: the area under the ROC curve is Mann and Whitney's statistic.
    """
    values, places = np.unique(scores, return_inverse=True)
    good, bad = (np.bincount(places[chosen], minlength=len(values)) for chosen in (is_good, ~is_good))
    below = np.cumsum(bad) - bad
    return float((good * (below + bad / 2)).sum() / (good.sum() * bad.sum()))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
