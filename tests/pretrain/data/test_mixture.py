"""The mixture: exact counts in a block and in a run, every prefix near its share, no gap within a source."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain.data.mixture import (
    BLOCK_SAMPLES,
    MAX_BLOCK_SAMPLES,
    Mixture,
    PlainMixture,
    block_counts,
    chairman_assignment,
    chairman_plainly,
)

WEIGHTS = st.lists(st.floats(0.01, 100.0), min_size=1, max_size=12)


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


@settings(max_examples=60, deadline=None)
@given(counts=st.lists(st.integers(0, 60), min_size=1, max_size=8))
def test_the_order_is_the_one_found_slot_by_slot(counts: list[int]) -> None:
    assert chairman_assignment(np.array(counts)).tolist() == chairman_plainly(counts)


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(1, 90), min_size=1, max_size=6),
    num_blocks=st.integers(1, 20),
    samples=st.lists(st.integers(-(10**12), 10**12) | st.integers(-500, 500), max_size=20),
)
def test_samples_come_from_where_counting_finds_them(counts: list[int], num_blocks: int, samples: list[int]) -> None:
    numbers = np.array(samples, dtype=np.int64)
    found, expected = (kind(counts, num_blocks).locate(numbers) for kind in (Mixture, PlainMixture))
    for fast, plain in zip(found, expected, strict=True):
        assert fast.dtype == plain.dtype and fast.tolist() == plain.tolist()
    for sample in map(abs, samples[:5]):
        fast, plain = (kind(counts, num_blocks).drawn(sample) for kind in (Mixture, PlainMixture))
        assert fast.dtype == plain.dtype and fast.tolist() == plain.tolist()


@settings(max_examples=10, deadline=None)
@given(weights=WEIGHTS, start=st.integers(0, 3 * BLOCK_SAMPLES))
def test_every_window_is_within_two_samples_of_its_share_across_blocks(weights: list[float], start: int) -> None:
    mixture = Mixture.of_weights(weights)
    sources, _ = mixture.locate(np.arange(start, start + 2 * BLOCK_SAMPLES))
    for source, count in enumerate(block_counts(weights).tolist()):
        excess = np.cumsum(sources == source) * BLOCK_SAMPLES - np.arange(1, len(sources) + 1) * count
        excess = np.concatenate([[0], excess])
        assert excess.max() - excess.min() < 2 * BLOCK_SAMPLES  # the worst of all windows within the stretch


@settings(max_examples=20, deadline=None)
@given(weights=WEIGHTS, start=st.integers(0, 10**12))
def test_numbers_within_a_source_have_no_gap(weights: list[float], start: int) -> None:
    mixture = Mixture.of_weights(weights)
    sources, numbers = mixture.locate(np.arange(start, start + 1000))
    before = mixture.drawn(start)
    for source in range(len(weights)):
        mine = numbers[sources == source]
        assert np.array_equal(mine, before[source] + np.arange(len(mine)))
    assert np.array_equal(mixture.drawn(start + 1000), before + np.bincount(sources, minlength=len(weights)))


def test_locate_equals_counting_from_the_start() -> None:
    mixture = Mixture.of_weights([3.0, 1.0, 0.7])
    sources, numbers = mixture.locate(np.arange(BLOCK_SAMPLES + 5000))
    seen = [0, 0, 0]
    for source, number in zip(sources.tolist(), numbers.tolist(), strict=True):
        assert number == seen[source]
        seen[source] += 1


def test_is_the_mixture_of_every_earlier_version() -> None:
    """Fixed for good, as the order of a source is."""
    sources, _ = Mixture.of_weights([3.0, 1.0, 1.0, 0.7]).locate(np.arange(24))
    assert sources.tolist() == [0, 1, 0, 2, 0, 3, 0, 0, 1, 2, 0, 0, 3, 0, 1, 0, 2, 0, 1, 0, 2, 0, 3, 0]


def test_a_single_source_is_the_identity() -> None:
    samples = np.array([0, 5, BLOCK_SAMPLES, 10**15])
    sources, numbers = Mixture.of_weights([0.3]).locate(samples)
    assert not sources.any()
    assert np.array_equal(numbers, samples)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_only_the_ratios_of_weights_count(scale: float) -> None:
    sources, _ = Mixture.of_weights([scale * 1.0, scale * 2.0, scale * 5.0]).locate(np.arange(1000))
    reference, _ = Mixture.of_weights([1.0, 2.0, 5.0]).locate(np.arange(1000))
    assert np.array_equal(sources, reference)


@settings(max_examples=100, deadline=None)
@given(counts=st.lists(st.integers(1, 300), min_size=1, max_size=8), num_blocks=st.integers(1, 60))
def test_a_run_of_several_blocks_has_its_counts_to_the_sample_and_every_prefix_near_its_share(
    counts: list[int], num_blocks: int
) -> None:
    mixture, total = Mixture(counts, num_blocks), sum(counts)
    sources, numbers = mixture.locate(np.arange(-total, 2 * total))  # the run, and what is before and behind it
    for source, count in enumerate(counts):
        mine = sources == source
        assert numbers[mine].tolist() == list(range(-count, 2 * count))
        drawn, share = np.cumsum(mine[total : 2 * total]), np.arange(1, total + 1) * count
        assert np.abs(drawn * total - share).max() < (len(counts) + 3) * total
    for end in range(0, 2 * total, max(1, total // 20)):
        expected = np.bincount(sources[total : total + end], minlength=len(counts))
        assert np.array_equal(mixture.drawn(end), expected)


@pytest.mark.parametrize("small", [150, 300, 600, 2000])
def test_a_small_source_of_a_long_run_is_read_as_often_as_was_asked_and_all_along(small: int) -> None:
    counts = [146_000_000 - small, small]
    mixture, run = Mixture.of_run(counts), sum(counts)
    assert run > 500 * MAX_BLOCK_SAMPLES
    assert mixture.drawn(run).tolist() == counts
    for part in range(1, 100):
        assert abs(mixture.drawn(run * part // 100)[1] - small * part / 100) < 2
    ends = run + np.arange(-1000, 0)
    sources, numbers = mixture.locate(ends)
    before = mixture.drawn(run - 1000)
    for source, count in enumerate(counts):
        assert numbers[sources == source].tolist() == list(range(before[source], count))


def test_a_run_that_one_block_holds_is_in_the_order_of_that_block() -> None:
    counts = np.array([5000, 300, 41, 1])
    sources, _ = Mixture.of_run(counts.tolist()).locate(np.arange(2 * counts.sum()))
    assert np.array_equal(sources, np.tile(chairman_assignment(counts), 2))
