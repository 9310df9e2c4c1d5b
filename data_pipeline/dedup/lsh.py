"""Locality-sensitive hashing: signatures cut into bands; documents that share a band whole are candidates.

P(two documents of similarity s are candidates) = 1 - (1 - s^rows)^bands, the S-curve.
Source: Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", 3rd edition, section 3.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import lgamma, log, log1p

import numpy as np

from foundation.errors import SettingError

MIN_RECALL = 0.999  # P(candidate) at the threshold that chosen bands reach
HOPELESS_RECALL = 0.1  # bands that were set and find less at the threshold are a mistake and no choice
PAIRS_A_MISS = 1_000_000  # of pairs at the threshold, at most one in so many is ruled out by its signatures
_ROUNDED = 1e-8  # log P is off by less, 1e-9 at 4,096 values
_SIMILARITIES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)  # where the S-curve is shown
_IN_SHORT = (0.5, 0.6, 0.7, 0.8, 0.9)  # the same, in one line


@dataclass(frozen=True, slots=True)
class SCurve:
    """What bands are expected to find.

    Attributes:
        threshold: the Jaccard similarity that they are chosen for.
        bands, rows: of the signature.
        similarities, found: points of the curve.
    """

    threshold: float
    bands: int
    rows: int
    similarities: list[float]
    found: list[float]

    @classmethod
    def of(cls, threshold: float, bands: int, rows: int) -> SCurve:
        """Return the curve from 0.3 on, where there are pairs to find, in hundredths."""
        grid = np.arange(30, 101) / 100
        return cls(threshold, bands, rows, grid.tolist(), candidate_probability(grid, bands, rows).tolist())


def candidate_probability(similarity: np.ndarray | float, bands: int, rows: int) -> np.ndarray:
    """Return P(candidate) at a Jaccard similarity, or an array of them, in [0, 1]."""
    return np.asarray(1.0 - (1.0 - np.asarray(similarity, np.float64) ** rows) ** bands)


def false_candidates(threshold: float, bands: int, rows: int) -> float:
    """Return the area under the S-curve left of the threshold: how many pairs that are not similar become candidates.

    Pairs are taken as spread evenly over similarities, as datasketch does when it weighs false positives (`lsh.py`,
    `_false_positive_probability`). Real pairs lie mostly near 0, where every curve is flat; the order of two curves is
    the same.
    """
    grid = np.linspace(0.0, threshold, 10_001)
    return float(np.trapezoid(candidate_probability(grid, bands, rows), grid))


def choose_bands(threshold: float, num_perm: int) -> tuple[int, int]:
    """Return the (bands, rows) with the fewest candidates that find a pair at the threshold with P >= MIN_RECALL.

    The choice is over rows, with as many bands as the signature holds (num_perm // rows): rows decide how steep the
    curve is, and permutations left over would cost their time and find nothing. At 0.8 and 128: 25 bands of 5 rows,
    P = 0.99995. (datasketch's own choice there, 9 x 13, weighs false positives as much as misses and finds 40 %.)

    Raises:
        SettingError: no banding reaches MIN_RECALL; shows the best curve and the permutations that would be enough.
    """
    full = [(num_perm // rows, rows) for rows in range(1, num_perm + 1)]
    enough = [(bands, rows) for bands, rows in full if candidate_probability(threshold, bands, rows) >= MIN_RECALL]
    if enough:
        return min(enough, key=lambda choice: false_candidates(threshold, *choice))
    needed = int(np.ceil(np.log(1 - MIN_RECALL) / np.log1p(-threshold)))
    raise SettingError(
        f"threshold: {threshold:.4g} (Jaccard) with num_perm={num_perm} finds too few of the pairs at the threshold, "
        f"whatever the bands; set num_perm to at least {needed}, or raise the threshold\n"
        f"{s_curve(threshold, num_perm, 1)}"
    )


def checked_bands(threshold: float, num_perm: int, bands: int | None, rows: int | None) -> tuple[int, int]:
    """Return the bands and rows that were set, or choose both.

    Bands that find less than MIN_RECALL may be what a user wants (datatrove's 14 of 8 find 65 % at 0.72, datasketch's
    9 of 13 find 40 % at 0.8): `describe_bands` warns of them.

    Raises:
        SettingError: one of them alone is set, they do not fit the signature, or they find next to nothing at the
            threshold; shows the curve.
    """
    if bands is None and rows is None:
        return choose_bands(threshold, num_perm)
    if bands is None or rows is None:
        missing = "bands" if bands is None else "rows"
        raise SettingError(f"{missing}: null while the other is set; set both bands and rows, or none")
    if bands < 1 or rows < 1 or bands * rows > num_perm:
        raise SettingError(
            f"bands: {bands} of {rows} rows do not fit a signature of {num_perm} values; both are at least 1, their "
            "product at most num_perm; null chooses both"
        )
    found = float(candidate_probability(threshold, bands, rows))
    if found < HOPELESS_RECALL:
        raise SettingError(
            f"bands: {bands} of {rows} rows find {percent(found)} of the pairs at the threshold; "
            f"{HOPELESS_RECALL:.0%} is the least that is allowed; set bands and rows to null, which chooses both, set "
            f"fewer rows, or set a threshold from {_reaches(HOPELESS_RECALL, bands, rows):.2f} on, where these find "
            f"more\n{s_curve(threshold, bands, rows)}"
        )
    return bands, rows


def _reaches(share: float, bands: int, rows: int) -> float:
    """Return the least similarity in hundredths at which bands find this share of the pairs."""
    grid = np.arange(1, 101) / 100
    return float(grid[np.argmax(candidate_probability(grid, bands, rows) >= share)])


@cache
def min_equal_values(threshold: float, num_perm: int) -> int:
    """Return how many values of two signatures must be equal, so that comparing the two sets can still be worth it.

    At a Jaccard similarity of s each value is equal with P = s, so the number of equal values is binomial. The result
    is the largest m with P(fewer than m are equal) below one in PAIRS_A_MISS at the threshold; above it P is smaller
    still. In logarithms, since P(none is equal) is no float; where their rounding could decide, the smaller m is taken,
    which rules out less. At 0.8 and 128: 79.
    """
    if threshold == 1:
        return num_perm
    equal = np.arange(num_perm)
    log_factorials = np.array([lgamma(n + 1) for n in range(num_perm + 1)])
    log_choices = log_factorials[num_perm] - log_factorials[:-1] - log_factorials[:0:-1]
    log_exactly = log_choices + equal * log(threshold) + (num_perm - equal) * log1p(-threshold)
    log_at_most = np.logaddexp.accumulate(log_exactly)  # P(at most `equal` are equal)
    return int(np.searchsorted(log_at_most, -log(PAIRS_A_MISS) - _ROUNDED))


def describe_bands(threshold: float, bands: int, rows: int, num_perm: int) -> str:
    """Return the choice in two lines, the S-curve among them; a third where it finds less than it could."""
    in_short = ", ".join(
        f"{similarity:g}: {percent(float(candidate_probability(similarity, bands, rows)))}"
        for similarity in sorted({*_IN_SHORT, threshold})
    )
    lines = [_at_threshold(threshold, bands, rows), f"pairs found by similarity: {in_short}"]
    if candidate_probability(threshold, bands, rows) < MIN_RECALL:
        lines.append(
            f"warning: dedup.bands: that is less than the {MIN_RECALL:.1%} that bands are chosen for"
            f"{_better(threshold, num_perm)}"
        )
    return "\n".join(lines)


def _better(threshold: float, num_perm: int) -> str:
    try:
        bands, rows = choose_bands(threshold, num_perm)
    except SettingError:
        return "; no other bands of so few values find more than that"
    found = percent(float(candidate_probability(threshold, bands, rows)))
    return f"; dedup.bands=null dedup.rows=null takes {bands} of {rows} rows, which find {found}"


def _at_threshold(threshold: float, bands: int, rows: int) -> str:
    found = percent(float(candidate_probability(threshold, bands, rows)))
    return f"{bands} bands of {rows} rows find {found} of the pairs of similarity {threshold:.4g}"


def percent(share: float) -> str:
    """Return a share as people read it; what is nearly all or nearly nothing does not become all or nothing."""
    if 0 < share < 1e-5:
        return "<0.001%"
    if 1 - 1e-5 < share < 1:
        return ">99.999%"
    if share in (0, 1) or 0.1 <= share <= 0.9:
        return f"{share:.0%}"
    digits = next(digits for digits in range(1, 5) if 0 < float(f"{100 * share:.{digits}f}") < 100)
    return f"{share:.{digits}%}"


def s_curve(threshold: float, bands: int, rows: int) -> str:
    """Return the S-curve as a chart: a line that says it in short, then one a similarity, the threshold's as well."""
    lines = [_at_threshold(threshold, bands, rows)]
    for similarity in sorted({*_SIMILARITIES, threshold}):
        found = float(candidate_probability(similarity, bands, rows))
        mark = "  <- threshold" if similarity == threshold else ""
        lines.append(f"  {similarity:5.3g}  {percent(found):>10}  {'#' * round(40 * found):<40}{mark}".rstrip())
    return "\n".join(lines)
