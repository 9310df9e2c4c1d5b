from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretrain.metrics.timing import StepTimes, step_time


@given(st.lists(st.tuples(st.floats(1e-4, 100), st.integers(0, 10**7)), min_size=1), st.integers(1, 20))
def test_only_the_window_counts(steps: list[tuple[float, int]], window: int) -> None:
    times = StepTimes(window)
    for seconds, tokens in steps:
        times.add(seconds, tokens)
    last = steps[-window:]
    assert times.median_s == statistics.median(seconds for seconds, _ in last)
    assert times.tokens_per_s == pytest.approx(sum(n for _, n in last) / sum(s for s, _ in last))
    assert times.left_s(7) == pytest.approx(7 * statistics.mean(seconds for seconds, _ in last))


def test_a_pause_moves_the_rate_and_not_the_median() -> None:
    times = StepTimes(10)
    for seconds in [1.0] * 9 + [11.0]:
        times.add(seconds, 100)
    assert times.median_s == 1.0
    assert times.tokens_per_s == 50.0


def test_before_the_first_step_there_is_nothing() -> None:
    times = StepTimes(10)
    assert (times.median_s, times.tokens_per_s, times.left_s(5)) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.00123, "1.23 ms"),
        (0.1, "100 ms"),
        (0.9996, "1.00 s"),
        (1.5, "1.50 s"),
        (13.3121, "13.3 s"),
        (1234.0, "1,234 s"),
    ],
)
def test_a_step_s_time_has_three_digits_and_its_unit(seconds: float, text: str) -> None:
    assert step_time(seconds) == text
