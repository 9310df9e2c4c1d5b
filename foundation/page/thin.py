"""Long curves in few points: the lowest and the highest of each stretch stay, so that no spike is lost."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def stretch_size(count: int, num_stretches: int) -> int:
    """Return how many neighbours make a stretch, so that `count` values make at most `num_stretches`."""
    return max(1, -(-count // num_stretches))


def extremes(ys: np.ndarray, num_stretches: int) -> np.ndarray:
    """Return the places to keep of a long curve: the lowest and the highest finite value of each stretch, and the ends.

    Args:
        ys: (n,) float64; of equal ones the first counts, of a stretch without a finite value its first place stays.
        num_stretches: equally long stretches, the last one shorter; up to as many values all stay.
    Returns:
        (k,) int64, rising, k at most 2 * num_stretches + 2.
    """
    if len(ys) <= num_stretches:
        return np.arange(len(ys))
    rows, starts = _rows(ys, num_stretches)
    finite = np.isfinite(rows)
    lows, highs = (np.where(finite, rows, worst) for worst in (np.inf, -np.inf))
    return np.unique(np.concatenate([starts + lows.argmin(1), starts + highs.argmax(1), [0, len(ys) - 1]]))


def extremes_plainly(ys: Sequence[float], num_stretches: int) -> list[int]:
    """Return what `extremes` does, value by value."""
    if len(ys) <= num_stretches:
        return list(range(len(ys)))
    size, kept = stretch_size(len(ys), num_stretches), {0, len(ys) - 1}
    for start in range(0, len(ys), size):
        finite = [place for place in range(start, min(start + size, len(ys))) if math.isfinite(ys[place])]
        kept |= {min(finite, key=lambda place: ys[place]), max(finite, key=lambda p: ys[p])} if finite else {start}
    return sorted(kept)


def means(values: np.ndarray, num_stretches: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of the finite values of each stretch, NaN where there is none, and how many they are.

    Args:
        values: (n,) float64.
        num_stretches: as of `extremes`.
    Returns:
        (k,) float64 and (k,) int64, k = ceil(n / stretch_size).
    """
    rows, _ = _rows(values, num_stretches)
    finite = np.isfinite(rows)
    counts = finite.sum(1)
    with np.errstate(invalid="ignore"):
        return np.where(finite, rows, 0.0).sum(1) / counts, counts


def means_plainly(values: Sequence[float], num_stretches: int) -> tuple[list[float], list[int]]:
    """Return what `means` does, value by value."""
    size = stretch_size(len(values), num_stretches)
    found = [[v for v in values[start : start + size] if math.isfinite(v)] for start in range(0, len(values), size)]
    return [sum(each) / len(each) if each else math.nan for each in found], [len(each) for each in found]


def _rows(values: np.ndarray, num_stretches: int) -> tuple[np.ndarray, np.ndarray]:
    size = stretch_size(len(values), num_stretches)
    padded = np.full(-(-len(values) // size) * size, np.nan)
    padded[: len(values)] = values
    return padded.reshape(-1, size), np.arange(0, len(values), size)
