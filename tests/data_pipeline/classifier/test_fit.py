from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize

from data_pipeline.classifier.fit import fit, minimise
from data_pipeline.classifier.rows import Rows

BUCKETS = 40


def problem(seed: int, examples: int = 120) -> tuple[Rows, np.ndarray, np.ndarray]:
    """Rows, their classes (three of ten are good), and the same as a dense array of values."""
    rng = np.random.default_rng(seed)
    is_good = rng.random(examples) < 0.3
    counted = []
    for good in is_good:
        buckets = np.sort(rng.choice(BUCKETS - 5, rng.integers(1, 12), replace=False)).astype(np.int32)
        counts = rng.integers(1, 6, len(buckets)).astype(np.int32)
        counts[buckets < 10] += 3 * good
        counted.append((buckets, counts))
    dense = np.zeros((examples, BUCKETS))
    for row, (buckets, counts) in enumerate(counted):
        dense[row, buckets] = np.sqrt(counts / counts.sum())
    return Rows.of(np.zeros((examples, 2), np.uint64), counted), is_good, dense


def dense_objective(dense: np.ndarray, is_good: np.ndarray, l2: float, values: np.ndarray) -> float:
    """As the docstring of `fit` writes it."""
    logits = dense @ values[:-1] + values[-1]
    losses = np.logaddexp(0, np.where(is_good, -logits, logits))
    means = losses[is_good].mean() + losses[~is_good].mean()
    return float(means / 2 + l2 / (2 * len(dense)) * (values[:-1] ** 2).sum())


@pytest.mark.parametrize("l2", [0.01, 1.0, 100.0])
def test_the_minimum_is_that_of_a_dense_problem_and_another_solver(l2: float) -> None:
    rows, is_good, dense = problem(0)
    found = fit(rows, is_good, BUCKETS, l2, lambda: None)
    values = np.append(found.weights, found.bias)
    expected = scipy.optimize.minimize(
        lambda values: dense_objective(dense, is_good, l2, values), np.zeros(BUCKETS + 1), method="BFGS", tol=1e-9
    )
    assert dense_objective(dense, is_good, l2, values) == pytest.approx(expected.fun, abs=1e-8)
    np.testing.assert_allclose(values, expected.x, atol=2e-2 * np.abs(expected.x).max())
    losses = dense_objective(dense, is_good, 0.0, values)
    assert found.converged and found.loss == pytest.approx(losses, rel=1e-9)
    assert not found.weights[BUCKETS - 5 :].any()  # of buckets that no example has


def test_both_classes_weigh_the_same() -> None:
    rows, is_good, _ = problem(1)
    good = np.flatnonzero(is_good)
    more = Rows.joined([rows, *[rows.take(good)] * 4])
    of_more = np.append(is_good, np.ones(4 * len(good), bool))
    once = fit(rows, is_good, BUCKETS, 1.0, lambda: None)
    again = fit(more, of_more, BUCKETS, len(more) / len(rows), lambda: None)  # the penalty is shared by all
    np.testing.assert_allclose(once.weights, again.weights, atol=1e-3)
    assert once.bias == pytest.approx(again.bias, abs=1e-3)


def test_each_step_is_told_and_a_limit_of_steps_ends() -> None:
    rng = np.random.default_rng(0)
    hessian = np.diag(10.0 ** rng.uniform(-2, 2, 30))
    told: list[None] = []

    def bowl(point: np.ndarray) -> tuple[float, np.ndarray]:
        away = point - 1
        return float(away @ hessian @ away / 2), hessian @ away

    point, steps, converged = minimise(bowl, np.zeros(30), lambda: told.append(None))
    np.testing.assert_allclose(bowl(point)[1], 0, atol=1e-3)
    assert converged and len(told) == steps > 5
    assert minimise(bowl, np.zeros(30), lambda: None, max_steps=3)[1:] == (3, False)
