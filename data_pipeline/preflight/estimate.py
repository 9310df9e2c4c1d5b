"""From a part to the whole: counts with intervals, what pairs of documents allow, what a stage takes.

Documents are drawn in runs of neighbours (blocks, or files), which are more alike than documents drawn one by one: all
variances are those between such clusters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

TAIL = 0.0125  # on each side, of each of the two factors of a count: by Bonferroni both hold in at least 95 %


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number of the whole corpus, with the ends of its interval; `high` is infinite where nothing bounds it."""

    value: float
    low: float
    high: float

    def __add__(self, other: Estimate) -> Estimate:
        """Return the sum of two that were drawn independently (Zou and Donner 2008, the method MOVER)."""
        value = self.value + other.value
        low = value - math.hypot(self.value - self.low, other.value - other.low)
        return Estimate(value, low, value + math.hypot(self.high - self.value, other.high - other.value))

    def within(self, least: float, most: float = math.inf) -> Estimate:
        """Return it with all three numbers between these ends."""
        return Estimate(*(min(max(each, least), most) for each in (self.value, self.low, self.high)))

    def to_json(self) -> dict[str, float | None]:
        """Return it as JSON values, whole numbers: an infinite end is null."""
        ends = {"value": self.value, "low": self.low, "high": self.high}
        return {name: round(end) if math.isfinite(end) else None for name, end in ends.items()}


@dataclass(frozen=True, slots=True)
class Clusters:
    """What was drawn of one source.

    Attributes:
        sizes: (n,) float64, bytes of each cluster.
        whole: bytes of the source.
        drawn_frac: share of its clusters that was drawn, in (0, 1]; at 1 all is known.
    """

    sizes: np.ndarray
    whole: float
    drawn_frac: float

    def total(self, counts: np.ndarray) -> Estimate:
        """Return the source's number of what the clusters hold: the ratio estimator, by bytes.

        Args:
            counts: (n,) of each cluster.
        Source: Cochran, Sampling Techniques (3rd ed.), 6.3 and 9A.
        """
        seen, drawn = float(counts.sum()), float(self.sizes.sum())
        if self.drawn_frac >= 1:
            return Estimate(seen, seen, seen)
        value = seen / drawn * self.whole
        half = self._quantile() * self._spread(counts, self.sizes) / drawn * self.whole
        return Estimate(value, max(value - half, seen), value + half)

    def share(self, counts: np.ndarray, documents: np.ndarray) -> Estimate:
        """Return which share of the source's documents these are: Wilson's interval with the design effect of clusters.

        Args:
            counts: (n,) of each cluster, at most `documents`.
            documents: (n,) of each cluster; one at least in all.
        Source: Korn and Graubard, "Confidence intervals for proportions with small expected number of positive
            counts estimated from survey data" (1998); their effective sample size, Wilson's interval.
        """
        num_docs = float(documents.sum())
        share = float(counts.sum()) / num_docs
        if self.drawn_frac >= 1:
            return Estimate(share, share, share)
        variance = share * (1 - share) * num_docs * (1 - self.drawn_frac)
        spread = self._spread(counts, documents)
        effect = max(1.0, spread**2 / variance) if 0 < share < 1 and math.isfinite(spread) else 1.0
        alone = num_docs / effect / (1 - self.drawn_frac)
        low, high = wilson(share, alone, self._quantile())
        return Estimate(share, low, high)

    def count(self, counts: np.ndarray, documents: np.ndarray) -> Estimate:
        """Return how many documents of the source these are: their share times the number of all.

        Args:
            counts, documents: as of `share`.
        """
        seen = float(counts.sum())
        every = self.total(documents)
        if not every.value:
            return Estimate(seen, seen, seen)
        share = self.share(counts, documents)
        value = every.value * share.value
        below = math.hypot(every.value * (share.value - share.low), share.value * (every.value - every.low))
        above = every.value * (share.high - share.value)
        if share.value:
            above = math.hypot(above, share.value * (every.high - every.value))
        return Estimate(value, max(value - below, seen), value + above)

    def _spread(self, counts: np.ndarray, against: np.ndarray) -> float:
        """Return the standard error of the sum of `counts`, less what follows from `against`; infinite for one."""
        num = len(counts)
        if num < 2:
            return math.inf
        rest = counts - counts.sum() / against.sum() * against
        return math.sqrt((1 - self.drawn_frac) * num / (num - 1) * float(rest @ rest))

    def _quantile(self) -> float:
        from scipy.special import stdtrit  # not scipy.stats, which takes 0.8 s; here, as only a preflight asks for it

        return float(stdtrit(max(len(self.sizes) - 1, 1), 1 - TAIL))


def wilson(share: float, num: float, quantile: float) -> tuple[float, float]:
    """Return the ends of Wilson's interval of a share that was seen among `num` (Wilson 1927)."""
    squared = quantile * quantile / num
    middle = share + squared / 2
    half = math.sqrt(squared * (share * (1 - share) + squared / 4))
    return max((middle - half) / (1 + squared), 0.0), min((middle + half) / (1 + squared), 1.0)


def most_duplicates(apart: int, together: int, drawn_frac: float) -> float:
    """Return an upper estimate of the whole corpus's duplicates, from those that were found among the drawn documents.

    A duplicate is found only if the document that it repeats is drawn too. Of two clusters drawn independently with
    probability f both are with f², so that a pair found stands for 1/f² pairs; of one cluster it is f. Pairs are
    unbiased so, and of larger groups of equal documents it counts more than there are: an upper estimate. To each of
    the two numbers Poisson's upper limit is taken first: where none was found, there may be 4.4 / f².

    Args:
        apart: duplicates found whose original lies in another cluster.
        together: those whose original lies in the same.
        drawn_frac: share of the corpus that was drawn, f.
    """
    if drawn_frac >= 1:
        return apart + together
    from scipy.special import chdtri

    limits = [chdtri(2 * (found + 1), TAIL) / 2 for found in (apart, together)]
    return float(limits[0] / drawn_frac**2 + (limits[1] / drawn_frac if together else 0.0))


@dataclass(frozen=True, slots=True)
class Cost:
    """What something takes, as a line through two probes: a fixed part, and one by size.

    Attributes:
        fixed: that any run takes, however small.
        rate: by unit of size.
        most_rate: the same if nothing were fixed: an upper bound, unless it grows faster than the size.
    """

    fixed: float
    rate: float
    most_rate: float

    def at(self, size: float) -> float:
        """Return what a run of this size takes."""
        return self.fixed + self.rate * size

    def most(self, size: float) -> float:
        """Return what it takes at most."""
        return max(self.most_rate * size, self.at(size))


def cost(small: tuple[float, float] | None, large: tuple[float, float]) -> Cost:
    """Return the line through two probes, never falling and never below zero.

    Args:
        small: (size, what it took); None where there was none: then nothing is taken for fixed.
        large: the same, of the larger probe; its size is above 0.
    """
    most = large[1] / large[0]
    if small is None or small[0] >= large[0]:
        return Cost(0.0, most, most)
    rate = min(max((large[1] - small[1]) / (large[0] - small[0]), 0.0), most)
    return Cost(large[1] - rate * large[0], rate, most)
