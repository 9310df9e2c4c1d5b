from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.page.thin import extremes, extremes_plainly, means, means_plainly

VALUES = st.lists(st.floats(-1e3, 1e3) | st.sampled_from([math.nan, math.inf, -math.inf, 1.0]), max_size=60)


@given(VALUES, st.integers(1, 12))
def test_the_places_to_keep_are_those_of_the_plain_loop(values: list[float], num_stretches: int) -> None:
    kept = extremes(np.array(values, dtype=np.float64), num_stretches)
    assert kept.tolist() == extremes_plainly(values, num_stretches)


@given(VALUES, st.integers(1, 12))
def test_the_means_are_those_of_the_plain_loop(values: list[float], num_stretches: int) -> None:
    mean, counts = means(np.array(values, dtype=np.float64), num_stretches)
    expected, expected_counts = means_plainly(values, num_stretches)
    assert counts.tolist() == expected_counts
    np.testing.assert_allclose(mean, expected, rtol=1e-9, atol=1e-9)


def test_no_spike_of_a_million_steps_is_lost() -> None:
    ys = np.sin(np.arange(1_000_000) / 1000)
    spikes = np.random.default_rng(0).choice(1_000_000, 50, replace=False)
    ys[spikes] += 5.0 * np.where(np.arange(50) % 2, 1, -1)
    kept = extremes(ys, 4000)
    assert len(kept) <= 8002 and set(spikes.tolist()) <= set(kept.tolist())
    assert (kept[0], kept[-1]) == (0, 999_999)


@pytest.mark.parametrize("count", [0, 1, 7])
def test_what_is_short_stays_whole(count: int) -> None:
    assert extremes(np.zeros(count), 7).tolist() == list(range(count))
