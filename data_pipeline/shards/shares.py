"""How the length of a training run is shared among sources: what the plan of the pipeline and the trainer reckon by.

A unit is a sample of the trainer's, or a token where nothing is known of samples. Budgets take their part, weights
share the rest by largest remainder.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt


def largest_remainder(weights: Sequence[float], total: int) -> npt.NDArray[np.int64]:
    """Return (k,) int64 counts that sum to `total`, each within one of its share; ties go to the first.

    Exact: floats are fractions, and no rounding decides a remainder.
    """
    assert all(math.isfinite(weight) and weight > 0 for weight in weights), weights
    exact = [Fraction(weight) for weight in weights]
    shares = [total * weight / sum(exact) for weight in exact]
    counts = [math.floor(share) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda source: (counts[source] - shares[source], source))
    for source in by_remainder[: total - sum(counts)]:
        counts[source] += 1
    return np.array(counts, dtype=np.int64)


def units_of(budget: Mapping[str, float], held: int, unit_tokens: int) -> int:
    """Return a budget in units, the nearest whole number of them.

    Args:
        budget: {"tokens": n} or {"epochs": n}.
        held: units that the source holds.
        unit_tokens: targets of a unit.
    """
    ((kind, amount),) = budget.items()
    exact = Fraction(amount) * held if kind == "epochs" else Fraction(amount) / unit_tokens
    return math.floor(exact + Fraction(1, 2))


def shared_out(budgets: Mapping[str, int], weights: Mapping[str, float], total: int) -> dict[str, int]:
    """Return the units of a run that come from each source: those of its budget, or its share of the rest.

    Args:
        budgets: source -> units, together at most `total`.
        weights: source -> weight above 0, of those without a budget.
        total: units of the run; more than the budgets only where there are weights.
    """
    rest = total - sum(budgets.values())
    counts = largest_remainder(list(weights.values()), rest).tolist() if weights else []
    return {**budgets, **dict(zip(weights, counts, strict=True))}
