"""The permutation: a bijection for any size, equal to its plain reference, keyed, and evenly spread."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain.data.order import MAX_N, permute, permute_one, permute_plainly

KEYS = st.tuples(st.integers(0, 2**63), st.integers(0, 10**6), st.text(max_size=8))


def whole(n: int, seed: int = 0, epoch: int = 0, source: str = "") -> np.ndarray:
    return permute(np.arange(n), n, seed, epoch, source)


@pytest.mark.parametrize("n", range(1, 130))
def test_is_a_bijection_for_every_small_size(n: int) -> None:
    assert np.array_equal(np.sort(whole(n)), np.arange(n))


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 20_000), key=KEYS)
def test_is_a_bijection(n: int, key: tuple[int, int, str]) -> None:
    places = whole(n, *key)
    assert places.dtype == np.int64
    assert np.array_equal(np.sort(places), np.arange(n))


@settings(max_examples=200, deadline=None)
@given(n=st.one_of(st.integers(1, 200), st.integers(1, MAX_N)), key=KEYS, data=st.data())
def test_equals_the_plain_reference(n: int, key: tuple[int, int, str], data: st.DataObject) -> None:
    index = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=5))
    seed, epoch, source = key
    expected = [permute_one(i, n, seed, epoch, source) for i in index]
    for function in (permute, permute_plainly):
        assert function(np.array(index, dtype=np.int64), n, seed, epoch, source).tolist() == expected
    assert all(0 <= place < n for place in expected)


def test_is_the_order_of_every_earlier_version() -> None:
    """Fixed for good: a run that another version began goes on with the samples that it had not seen."""
    assert permute(np.arange(12), 12, seed=1234, epoch=0, source="web").tolist() == [
        11,
        0,
        7,
        3,
        8,
        9,
        5,
        6,
        1,
        2,
        10,
        4,
    ]
    assert permute(np.arange(6), 10**6, seed=5, epoch=3).tolist() == [256830, 200018, 350837, 735633, 694788, 971197]


def test_leaves_its_argument_alone_and_takes_none() -> None:
    index = np.arange(50)
    permute(index, 50, 1, 2)
    assert np.array_equal(index, np.arange(50))
    assert permute(np.empty(0, dtype=np.int64), 50, 1, 2).shape == (0,)


def test_seed_source_and_epoch_each_give_another_order() -> None:
    n = 10_000
    orders = [whole(n), whole(n, seed=1), whole(n, epoch=1), whole(n, source="web"), whole(n, 1, 0, "web")]
    for i, one in enumerate(orders):
        for other in orders[:i]:
            assert np.count_nonzero(one == other) < 10  # two random orders agree at one place on average


def test_every_order_of_few_items_occurs_equally_often() -> None:
    counts = np.zeros((4, 4, 4, 4), dtype=np.int64)
    for epoch in range(6000):
        counts[tuple(whole(4, epoch=epoch))] += 1
    seen = counts[counts > 0]
    assert len(seen) == 24
    assert chi_square(seen) < 53  # 23 degrees of freedom: beyond it once in 2,500


def test_every_place_gets_every_item_equally_often() -> None:
    n, epochs = 37, 4000
    counts = np.zeros((n, n), dtype=np.int64)
    for epoch in range(epochs):
        counts[np.arange(n), whole(n, epoch=epoch)] += 1
    assert chi_square(counts) < 1332 + 5 * (2 * 1332) ** 0.5


def test_neighbours_are_as_far_apart_as_in_a_random_order() -> None:
    n = 1000
    distances = np.concatenate([np.diff(whole(n, epoch=epoch)) % n for epoch in range(200)])
    assert chi_square(np.bincount(distances, minlength=n)[1:]) < 998 + 5 * (2 * 998) ** 0.5


def test_a_stretch_of_the_order_spreads_over_the_whole_range() -> None:
    n = 10_000_019
    places = permute(np.arange(100_000), n, seed=3, epoch=5)
    assert chi_square(np.bincount(places * 100 // n, minlength=100)) < 99 + 5 * (2 * 99) ** 0.5
    assert abs(np.corrcoef(np.arange(100_000), places)[0, 1]) < 0.016  # five standard errors


def chi_square(counts: np.ndarray) -> float:
    expected = counts.mean()
    return float(((counts - expected) ** 2 / expected).sum())
