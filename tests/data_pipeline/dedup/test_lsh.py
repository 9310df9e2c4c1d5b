from __future__ import annotations

from math import comb

import numpy as np
import pytest
from datasketch.lsh import _false_positive_probability
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from data_pipeline.dedup.lsh import (
    HOPELESS_RECALL,
    PAIRS_A_MISS,
    SCurve,
    candidate_probability,
    checked_bands,
    choose_bands,
    describe_bands,
    false_candidates,
    min_equal_values,
    percent,
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


def test_the_choice_in_two_lines_holds_the_curve() -> None:
    assert describe_bands(0.82, 25, 5, 128).splitlines() == [
        "25 bands of 5 rows find >99.999% of the pairs of similarity 0.82",
        "pairs found by similarity: 0.5: 55%, 0.6: 87%, 0.7: 99.0%, 0.8: 99.995%, 0.82: >99.999%, 0.9: >99.999%",
    ]


@pytest.mark.parametrize(
    ("threshold", "bands", "rows", "found", "better"),
    [(0.72, 14, 8, "65%", "32 of 4 rows, which find 99.996%"), (0.8, 9, 13, "40%", "25 of 5 rows, which find 99.995%")],
)
def test_bands_of_other_tools_are_taken_and_warned_of(
    threshold: float, bands: int, rows: int, found: str, better: str
) -> None:
    assert checked_bands(threshold, 128, bands, rows) == (bands, rows)
    first, _, warning = describe_bands(threshold, bands, rows, 128).splitlines()
    assert f"find {found} of the pairs" in first
    assert warning.startswith("warning: dedup.bands: that is less than the 99.9%")
    assert better in warning


def test_a_warning_where_nothing_better_is_to_be_had() -> None:
    assert "no other bands" in describe_bands(0.05, 8, 1, 8).splitlines()[2]


def test_bands_that_find_next_to_nothing_are_refused_with_the_curve_and_ways_that_lead_on() -> None:
    with pytest.raises(SettingError, match=r"^bands: 9 of 13 rows find 0\.1% of the pairs at the threshold") as error:
        checked_bands(0.5, 128, 9, 13)
    message = str(error.value)
    assert [line.split()[0] for line in message.splitlines() if line.endswith("<- threshold")] == ["0.5"]
    assert "a threshold from 0.71 on" in message
    assert checked_bands(0.71, 128, 9, 13) == (9, 13)
    assert candidate_probability(0.7, 9, 13) < HOPELESS_RECALL <= candidate_probability(0.71, 9, 13)
    assert checked_bands(0.5, 128, None, None) == choose_bands(0.5, 128)


@pytest.mark.parametrize(("bands", "rows"), [(None, 5), (25, None), (0, 5), (26, 5), (5, -1)])
def test_bands_that_fit_no_signature_are_refused(bands: int | None, rows: int | None) -> None:
    with pytest.raises(SettingError, match=r"^(bands|rows): "):
        checked_bands(0.8, 128, bands, rows)


@given(st.floats(0, 1))
def test_a_share_becomes_all_or_nothing_only_where_it_is(share: float) -> None:
    shown = percent(share)
    assert (shown == "100%") == (share == 1)
    assert (shown == "0%") == (share == 0)
    if shown[0] not in "<>":
        assert float(shown.rstrip("%")) / 100 == pytest.approx(share, abs=0.0051)


def test_the_curve_for_the_page_ends_at_1() -> None:
    curve = SCurve.of(0.8, 25, 5)
    points = dict(zip(curve.similarities, curve.found, strict=True))
    assert points[0.8] == candidate_probability(0.8, 25, 5)
    assert points[1.0] == 1
    assert min(points) == 0.3


def min_equal_in_integers(threshold: float, num_perm: int) -> int:
    """The plain reference: P(at most `equal` are equal) as a fraction, exact."""
    hits, of = threshold.as_integer_ratio()
    fewer, all_ = 0, of**num_perm
    for equal in range(num_perm):
        fewer += comb(num_perm, equal) * hits**equal * (of - hits) ** (num_perm - equal)
        if fewer * PAIRS_A_MISS >= all_:
            return equal
    return num_perm


@settings(deadline=None)
@given(st.floats(0, 1, exclude_min=True) | st.integers(1, 100).map(lambda percent: percent / 100), st.integers(1, 600))
def test_equal_values_are_as_many_as_integers_say(threshold: float, num_perm: int) -> None:
    assert min_equal_values(threshold, num_perm) == min_equal_in_integers(threshold, num_perm)


@pytest.mark.parametrize("num_perm", [1024, 4096])
@pytest.mark.parametrize("eighths", range(1, 8))
def test_equal_values_of_long_signatures_too(eighths: int, num_perm: int) -> None:
    """In eighths the integers are short."""
    assert min_equal_values(eighths / 8, num_perm) == min_equal_in_integers(eighths / 8, num_perm)


def test_what_rounding_could_decide_rules_out_less() -> None:
    """P(none of 2 is equal) is 1e-6 at 0.999."""
    assert (min_equal_in_integers(0.999 + 1e-13, 2), min_equal_values(0.999 + 1e-13, 2)) == (1, 0)
    assert (min_equal_in_integers(0.999 + 1e-9, 2), min_equal_values(0.999 + 1e-9, 2)) == (1, 1)


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
