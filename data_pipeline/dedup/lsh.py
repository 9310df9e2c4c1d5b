"""Locality-sensitive hashing: signatures cut into bands; documents that share a band whole are candidates.

P(two documents of similarity s are candidates) = 1 - (1 - s^rows)^bands, the S-curve.
Source: Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", 3rd edition, section 3.4.
"""

from __future__ import annotations

from math import comb

import numpy as np

from foundation.errors import SettingError

MIN_RECALL = 0.999  # P(candidate) at the threshold that chosen bands reach
PAIRS_A_MISS = 1_000_000  # of pairs at the threshold, at most one in so many is ruled out by its signatures
_SIMILARITIES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)  # where the S-curve is shown


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
        f"threshold: {threshold} with num_perm={num_perm} finds too few of the pairs at the threshold, whatever the "
        f"bands; set num_perm to at least {needed}, or raise the threshold\n"
        f"{s_curve(threshold, num_perm, 1)}"
    )


def min_equal_values(threshold: float, num_perm: int) -> int:
    """Return how many values of two signatures must be equal, so that comparing the two sets can still be worth it.

    At a Jaccard similarity of s each value is equal with P = s, so the number of equal values is binomial. The result
    is the largest m with P(fewer than m are equal) below one in PAIRS_A_MISS at the threshold; above it P is smaller
    still. Exact in integers. At 0.8 and 128: 79.
    """
    hits, of = threshold.as_integer_ratio()
    misses, all_ = of - hits, of**num_perm
    fewer = 0  # times `all_`: P(at most `equal` are equal)
    for equal in range(num_perm):
        fewer += comb(num_perm, equal) * hits**equal * misses ** (num_perm - equal)
        if fewer * PAIRS_A_MISS >= all_:
            return equal
    return num_perm


def s_curve(threshold: float, bands: int, rows: int) -> str:
    """Return the S-curve for people: a line that says it in short, then one a similarity, the threshold's as well."""
    similarities = sorted({*_SIMILARITIES, threshold})
    at_threshold = float(candidate_probability(threshold, bands, rows))
    lines = [f"{bands} bands of {rows} rows find {at_threshold:.3%} of the pairs of similarity {threshold:g}"]
    for similarity in similarities:
        found = float(candidate_probability(similarity, bands, rows))
        mark = "  <- threshold" if similarity == threshold else ""
        lines.append(f"  {similarity:5.3g}  {found:8.3%}  {'#' * round(40 * found):<40}{mark}".rstrip())
    return "\n".join(lines)
