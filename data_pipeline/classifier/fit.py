"""Logistic regression: its objective as a kernel over sparse rows, and L-BFGS.

scipy's L-BFGS-B is not used: its inner products are BLAS's, which adds up in another order with another number of
threads, so that machines with more cores gave other models (scipy 1.17.1, 1 and 2 threads: other last bits). Here all
sums are taken in the order of the rows and of the buckets, in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from data_pipeline.classifier.rows import Rows
from data_pipeline.compiled import kernel

MEMORY = 10  # pairs of steps that L-BFGS keeps: 16 bytes a bucket and pair; Nocedal and Wright: 3 to 20
TOLERANCE = 1e-5  # of the gradient's norm, relative to that at the start
MAX_STEPS = 500
_ARMIJO, _CURVATURE = 1e-4, 1e-12
_MAX_HALVINGS = 40
Objective = Callable[[np.ndarray], tuple[float, np.ndarray]]


@dataclass(frozen=True, slots=True)
class Fitted:
    """What came out.

    Attributes:
        weights: (buckets,) float64.
        bias: is not drawn to 0.
        loss: of the training rows: the mean of both classes' mean log losses (nats), penalty left out.
        steps: of L-BFGS.
        converged: whether the gradient became as small as TOLERANCE says.
    """

    weights: np.ndarray
    bias: float
    loss: float
    steps: int
    converged: bool


def fit(rows: Rows, is_good: np.ndarray, num_buckets: int, l2: float, on_step: Callable[[], None]) -> Fitted:
    """Return the minimum of (mean loss of the good + mean loss of the bad) / 2 + l2 / (2 n) |weights|^2.

    Both classes weigh the same, however many documents of each there are. The penalty is that of `1 / C` in LIBLINEAR
    and scikit-learn with balanced classes: n times this objective is their sum of losses.

    Args:
        rows: of n examples.
        is_good: (n,) bool, some of both.
        num_buckets: of the rows' n-grams.
        l2: the penalty.
        on_step: is called after each step.
    Source: Nocedal and Wright, Numerical Optimization, 2nd edition, algorithms 7.4 and 3.1.
    """
    signs = np.where(is_good, 1.0, -1.0)
    shares = np.where(is_good, 0.5 / is_good.sum(), 0.5 / (~is_good).sum())
    penalty = l2 / len(rows)
    met = np.zeros(num_buckets, bool)  # the weights of all other buckets are 0, and take no time
    met[rows.buckets] = True
    places = (np.cumsum(met, dtype=np.int32) - np.int32(1))[rows.buckets]

    def objective(values: np.ndarray) -> tuple[float, np.ndarray]:
        gradient = np.empty_like(values)
        loss = np.zeros(2)
        _objective(rows.offsets, places, rows.counts, signs, shares, penalty, values, gradient, loss)
        losses.append(float(loss[0]))
        return float(loss.sum()), gradient

    losses: list[float] = []  # without the penalty
    values, steps, converged = minimise(objective, np.zeros(int(met.sum()) + 1), on_step)
    objective(values)
    weights = np.zeros(num_buckets)
    weights[met] = values[:-1]
    return Fitted(weights, float(values[-1]), losses[-1], steps, converged)


def minimise(
    objective: Objective, start: np.ndarray, on_step: Callable[[], None], max_steps: int = MAX_STEPS
) -> tuple[np.ndarray, int, bool]:
    """Return where a convex function is least, how many steps led there, and whether they came to their end.

    Args:
        objective: value and gradient, (d,) float64, at a point.
        start: (d,) float64.
    """
    point = start
    value, gradient = objective(point)
    small = TOLERANCE * _norm(gradient)
    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    for step in range(max_steps):
        if _norm(gradient) <= small:
            return point, step, True
        direction = _direction(gradient, pairs)
        found = _line_search(objective, point, value, gradient, direction)
        if found is None:  # no lower value can be told from this one
            return point, step, True
        moved, value, turned = found
        pair = moved - point, turned - gradient
        if _dot(*pair) > _CURVATURE * _norm(pair[0]) * _norm(pair[1]):
            pairs = [*pairs[1 - MEMORY :], pair]
        point, gradient = moved, turned
        on_step()
    return point, max_steps, _norm(gradient) <= small


def _direction(gradient: np.ndarray, pairs: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return where to go: minus the gradient times the approximate inverse of the Hessian (algorithm 7.4)."""
    direction = -gradient
    if not pairs:
        return direction / _norm(gradient)
    factors = []
    for moved, turned in reversed(pairs):
        factor = _dot(moved, direction) / _dot(moved, turned)
        direction = direction - factor * turned
        factors.append(factor)
    moved, turned = pairs[-1]
    direction = direction * (_dot(moved, turned) / _dot(turned, turned))
    for (moved, turned), factor in zip(pairs, reversed(factors), strict=True):
        direction = direction + (factor - _dot(turned, direction) / _dot(moved, turned)) * moved
    return direction


def _line_search(
    objective: Objective, point: np.ndarray, value: float, gradient: np.ndarray, direction: np.ndarray
) -> tuple[np.ndarray, float, np.ndarray] | None:
    """Return the first of the whole step, its half, ... that lowers the value enough (algorithm 3.1); None: none."""
    slope, size = _dot(gradient, direction), 1.0
    for _ in range(_MAX_HALVINGS):
        moved = point + size * direction
        there, turned = objective(moved)
        if there <= value + _ARMIJO * size * slope and there < value:
            return moved, there, turned
        size /= 2
    return None


def _dot(one: np.ndarray, other: np.ndarray) -> float:
    return float(_sum_of_products(one, other))


def _norm(values: np.ndarray) -> float:
    return float(np.sqrt(_dot(values, values)))


@kernel
def _sum_of_products(one: Any, other: Any) -> Any:
    sum_ = 0.0
    for place in range(one.size):
        sum_ += one[place] * other[place]
    return sum_


@kernel
def _objective(
    offsets: Any, buckets: Any, counts: Any, signs: Any, shares: Any, penalty: float, values: Any, gradient: Any,
    loss: Any,
) -> None:  # fmt: skip
    """Fill `gradient` (buckets + 1,) and `loss` (2,): of the rows, of the penalty. The last of `values` is the bias."""
    bias = values.size - 1
    squares = 0.0
    for bucket in range(bias):
        gradient[bucket] = penalty * values[bucket]
        squares += values[bucket] * values[bucket]
    gradient[bias] = 0.0
    loss[1] = penalty * squares / 2
    for row in range(offsets.size - 1):
        total, sum_ = 0, 0.0
        for place in range(offsets[row], offsets[row + 1]):
            total += counts[place]
            sum_ += values[buckets[place]] * np.sqrt(np.float64(counts[place]))
        scale = 1.0 / np.sqrt(np.float64(total))
        margin = signs[row] * (values[bias] + sum_ * scale)
        small = np.exp(-abs(margin))
        loss[0] += shares[row] * (np.log1p(small) + max(-margin, 0.0))
        wrong = (1.0 if margin < 0 else small) / (1.0 + small)  # the probability of the other class
        pull = -signs[row] * shares[row] * wrong
        gradient[bias] += pull
        for place in range(offsets[row], offsets[row + 1]):
            gradient[buckets[place]] += pull * scale * np.sqrt(np.float64(counts[place]))
