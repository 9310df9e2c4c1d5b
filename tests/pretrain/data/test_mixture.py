"""The mixture: exact counts in a block, every prefix within one sample of its share, every window within two."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain.data.mixture import BLOCK_SAMPLES, Mixture, chairman_assignment, largest_remainder

WEIGHTS = st.lists(st.floats(0.01, 100.0), min_size=1, max_size=12)


@settings(max_examples=100, deadline=None)
@given(weights=WEIGHTS, total=st.integers(1, 100_000))
def test_largest_remainder_sums_up_and_rounds_each_share(weights: list[float], total: int) -> None:
    counts = largest_remainder(weights, total)
    assert counts.sum() == total
    for weight, count in zip(weights, counts.tolist(), strict=True):
        assert abs(count - total * Fraction(weight) / sum(map(Fraction, weights))) < 1


def test_largest_remainder_by_hand() -> None:
    assert largest_remainder([0.5, 0.3, 0.2], 10).tolist() == [5, 3, 2]
    assert largest_remainder([1, 1, 1], 10).tolist() == [4, 3, 3]
    assert largest_remainder([0.62, 0.29, 0.09], 7).tolist() == [4, 2, 1]  # shares 4.34, 2.03, 0.63


@settings(max_examples=100, deadline=None)
@given(counts=st.lists(st.integers(1, 60), min_size=1, max_size=10))
def test_every_prefix_is_within_one_sample_of_its_share(counts: list[int]) -> None:
    sequence = chairman_assignment(np.array(counts))
    assert np.bincount(sequence, minlength=len(counts)).tolist() == counts
    for source, count in enumerate(counts):
        # In whole numbers: |drawn - n * count / total| < 1, times the total.
        drawn = np.cumsum(sequence == source)
        share = np.arange(1, len(sequence) + 1) * count
        assert np.abs(drawn * len(sequence) - share).max() < len(sequence)


@settings(max_examples=10, deadline=None)
@given(weights=WEIGHTS, start=st.integers(0, 3 * BLOCK_SAMPLES))
def test_every_window_is_within_two_samples_of_its_share_across_blocks(weights: list[float], start: int) -> None:
    mixture = Mixture(weights)
    sources, _ = mixture.locate(np.arange(start, start + 2 * BLOCK_SAMPLES))
    for source, count in enumerate(mixture.counts.tolist()):
        excess = np.cumsum(sources == source) * BLOCK_SAMPLES - np.arange(1, len(sources) + 1) * count
        excess = np.concatenate([[0], excess])
        assert excess.max() - excess.min() < 2 * BLOCK_SAMPLES  # the worst of all windows within the stretch


@settings(max_examples=20, deadline=None)
@given(weights=WEIGHTS, start=st.integers(0, 10**12))
def test_numbers_within_a_source_have_no_gap(weights: list[float], start: int) -> None:
    mixture = Mixture(weights)
    sources, numbers = mixture.locate(np.arange(start, start + 1000))
    before = mixture.drawn(start)
    for source in range(len(weights)):
        mine = numbers[sources == source]
        assert np.array_equal(mine, before[source] + np.arange(len(mine)))
    assert np.array_equal(mixture.drawn(start + 1000), before + np.bincount(sources, minlength=len(weights)))


def test_locate_equals_counting_from_the_start() -> None:
    mixture = Mixture([3.0, 1.0, 0.7])
    sources, numbers = mixture.locate(np.arange(BLOCK_SAMPLES + 5000))
    seen = [0, 0, 0]
    for source, number in zip(sources.tolist(), numbers.tolist(), strict=True):
        assert number == seen[source]
        seen[source] += 1


def test_is_the_mixture_of_every_earlier_version() -> None:
    """Fixed for good, as the order of a source is."""
    sources, _ = Mixture([3.0, 1.0, 1.0, 0.7]).locate(np.arange(24))
    assert sources.tolist() == [0, 1, 0, 2, 0, 3, 0, 0, 1, 2, 0, 0, 3, 0, 1, 0, 2, 0, 1, 0, 2, 0, 3, 0]


def test_a_single_source_is_the_identity() -> None:
    samples = np.array([0, 5, BLOCK_SAMPLES, 10**15])
    sources, numbers = Mixture([0.3]).locate(samples)
    assert not sources.any()
    assert np.array_equal(numbers, samples)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_only_the_ratios_of_weights_count(scale: float) -> None:
    sources, _ = Mixture([scale * 1.0, scale * 2.0, scale * 5.0]).locate(np.arange(1000))
    reference, _ = Mixture([1.0, 2.0, 5.0]).locate(np.arange(1000))
    assert np.array_equal(sources, reference)
