"""The held-out split: a share by lot, two ends in each source and in each group that is not too small."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.mix.split import MIN_GROUP_DOCS, SplitError, held_out, held_out_plainly

LOTS = st.lists(st.one_of(st.integers(0, 9), st.integers(0, 2**64 - 1)), min_size=1, max_size=60)


def drawn(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, count, np.uint64)


def split(lots: np.ndarray, frac: float, sources: np.ndarray | None = None) -> np.ndarray:
    sources = np.zeros(len(lots), int) if sources is None else sources
    return held_out(lots, sources, sources, frac)


@given(LOTS, st.integers(1, 3), st.integers(1, 3), st.floats(0.001, 0.999), st.randoms())
def test_the_split_is_the_plain_one(
    lots: list[int], num_sources: int, num_groups: int, frac: float, rng: random.Random
) -> None:
    sources = [rng.randrange(num_sources) for _ in lots]
    groups = [source * num_groups + rng.randrange(num_groups) for source in sources]
    expected = held_out_plainly(lots, sources, groups, frac)
    arguments = (np.array(lots, np.uint64), np.array(sources), np.array(groups), frac)
    if not any(expected):
        with pytest.raises(SplitError):
            held_out(*arguments)
        return
    found = held_out(*arguments)
    assert found.tolist() == expected
    for parts, least in ((groups, MIN_GROUP_DOCS), (sources, 2)):
        for part in set(parts):
            mine = [is_held for is_held, other in zip(expected, parts, strict=True) if other == part]
            assert len(mine) < least or 0 < sum(mine) < len(mine)


@pytest.mark.parametrize("frac", [0.01, 0.1, 0.5])
def test_holds_out_its_share_of_every_source(frac: float) -> None:
    lots, sources = drawn(100_000), np.repeat(np.arange(4), 25_000)
    chosen = split(lots, frac, sources)
    for source in range(4):
        sigma = np.sqrt(frac * (1 - frac) / 25_000)
        assert chosen[sources == source].mean() == pytest.approx(frac, abs=4 * sigma)


def test_other_sources_change_nothing_of_a_source() -> None:
    alone, others = drawn(40), drawn(5000, seed=1)
    both = np.concatenate([others, alone])
    sources = np.repeat([0, 1], [5000, 40])
    for frac in (0.001, 0.05, 0.9):
        assert np.array_equal(split(both, frac, sources)[5000:], split(alone, frac))


def test_a_larger_share_holds_out_the_same_and_more() -> None:
    lots = drawn(10)
    shares = np.linspace(0, 1, 1001)[1:-1]
    chosen = np.array([split(lots, frac) for frac in shares])
    counts = chosen.sum(axis=1)
    assert counts[0] == 1 and counts[-1] == 9 and set(counts) == set(range(1, 10))
    assert (chosen[1:] >= chosen[:-1]).all()


@pytest.mark.parametrize("number", [0, 1])
def test_fewer_than_two_documents_cannot_be_split(number: int) -> None:
    with pytest.raises(SplitError, match=rf"mix: {number} documents? to split, .*give more$"):
        split(drawn(number), 0.1)


def test_a_source_of_one_document_is_trained_on() -> None:
    lots = np.array([0, 5, 7], np.uint64)
    assert split(lots, 0.9, np.array([1, 0, 0])).tolist() == [False, True, False]
