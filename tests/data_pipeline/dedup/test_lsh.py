from __future__ import annotations

import numpy as np
import pytest
from datasketch.lsh import _false_positive_probability
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from data_pipeline.dedup.lsh import (
    candidate_probability,
    choose_bands,
    false_candidates,
    min_equal_values,
    s_curve,
)
from foundation.errors import SettingError


def test_the_usual_threshold_has_25_bands_of_5_rows() -> None:
    assert choose_bands(0.8, 128) == (25, 5)
    assert candidate_probability(0.8, 25, 5) >= 0.999
    assert candidate_probability(0.8, 9, 13) < 0.41  # datasketch's choice, which misses most of the pairs there


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("num_perm", [64, 128, 260])
def test_no_other_full_banding_finds_as_much_with_fewer_candidates(threshold: float, num_perm: int) -> None:
    chosen = choose_bands(threshold, num_perm)
    areas = {
        (num_perm // rows, rows): _false_positive_probability(threshold, num_perm // rows, rows)
        for rows in range(1, num_perm + 1)
        if 1 - (1 - threshold**rows) ** (num_perm // rows) >= 0.999
    }
    assert chosen == min(areas, key=lambda banding: areas[banding])
    assert false_candidates(threshold, *chosen) == pytest.approx(areas[chosen], rel=1e-4)


def test_the_curve_is_what_is_drawn() -> None:
    """200,000 pairs of signatures whose slots agree with probability 0.6."""
    agree = np.random.default_rng(0).random((200_000, 4, 3)) < 0.6
    assert candidate_probability(0.6, 4, 3) == pytest.approx(agree.all(axis=2).any(axis=1).mean(), abs=0.005)


def test_a_threshold_out_of_reach_is_refused_with_what_would_do() -> None:
    with pytest.raises(SettingError, match=r"^threshold: 0\.02 .* at least 342"):
        choose_bands(0.02, 128)
    assert choose_bands(0.02, 342)
    with pytest.raises(SettingError):
        choose_bands(0.02, 341)


def test_the_printed_curve_marks_the_threshold() -> None:
    lines = [line for line in s_curve(0.82, 25, 5).splitlines() if "threshold" in line]
    assert len(lines) == 1
    assert lines[0].split()[0] == "0.82"
    assert s_curve(0.8, 25, 5).splitlines()[0] == "25 bands of 5 rows find 99.995% of the pairs of similarity 0.8"


@given(st.floats(0.01, 1.0), st.integers(1, 256))
def test_signatures_rule_out_less_than_a_millionth_of_the_pairs_at_the_threshold(
    threshold: float, num_perm: int
) -> None:
    found = min_equal_values(threshold, num_perm)
    assert found == 0 or binom.cdf(found - 1, num_perm, threshold) < 1e-6 * (1 + 1e-9)
    assert found == num_perm or binom.cdf(found, num_perm, threshold) >= 1e-6 * (1 - 1e-9)  # and no more could be asked


def test_the_usual_settings_ask_for_79_equal_values_of_128() -> None:
    assert min_equal_values(0.8, 128) == 79
    assert min_equal_values(1, 128) == min_equal_values(1.0, 128) == 128
