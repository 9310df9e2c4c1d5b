from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.classifier.evaluate import Limited, area_under_curve, best_limit, limited

SCORED = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.50001, 0.9, 1.0]), st.booleans()), min_size=2)


def columns(scored: list[tuple[float, bool]]) -> tuple[np.ndarray, np.ndarray]:
    both = [*scored, (0.4, True), (0.6, False)]
    return np.array([score for score, _ in both]), np.array([good for _, good in both])


@given(SCORED)
def test_the_area_is_the_share_of_pairs_in_order(scored: list[tuple[float, bool]]) -> None:
    scores, is_good = columns(scored)
    pairs = list(itertools.product(scores[is_good], scores[~is_good]))
    expected = sum((good > bad) + (good == bad) / 2 for good, bad in pairs) / len(pairs)
    assert area_under_curve(scores, is_good) == pytest.approx(expected)


@given(SCORED)
def test_no_limit_has_a_greater_f1_than_the_best(scored: list[tuple[float, bool]]) -> None:
    scores, is_good = columns(scored)
    best = best_limit(scores, is_good)
    assert best == limited(scores, is_good, best.least) and 0 <= best.least <= 1
    others = [*scores.tolist(), *np.nextafter(scores, 2).tolist(), 1.0]
    assert best.f1 >= max(limited(scores, is_good, least).f1 for least in others if least <= 1) - 1e-12


def test_what_a_limit_does_is_counted() -> None:
    found = limited(np.array([0.1, 0.2, 0.3, 0.5, 0.9]), np.array([False, True, False, False, True]), 0.5)
    assert found == Limited(0.5, hits=2, false_alarms=1, missed=1, kept=1)
    assert (found.precision, found.recall, found.f1, found.good_kept) == (2 / 3, 2 / 3, 2 / 3, 1 / 2)
    nothing = limited(np.array([0.5, 0.6]), np.array([True, False]), 0.1)
    assert math.isnan(nothing.precision) and (nothing.recall, nothing.f1, nothing.good_kept) == (0, 0, 1)


def test_the_best_limit_is_short_to_type() -> None:
    found = best_limit(np.array([0.123456, 0.723456, 0.8]), np.array([False, True, True]))
    assert (found.least, found.f1) == (0.42, 1.0)
    close = best_limit(np.array([0.1234561, 0.1234568]), np.array([False, True]))
    assert 0.1234561 < close.least <= 0.1234568 and close.f1 == 1.0
