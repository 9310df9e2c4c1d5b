"""What is random follows from the text, the seed and a number alone, evenly, and as the reference says."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.augment.lots import chosen, lots_of, nth, seeds_of, unit, unit_one, units

seeds = st.integers(0, 2**64 - 1)


def texts_of(number: int, start: int = 0) -> pa.LargeStringArray:
    return pa.array([f"text {place}" for place in range(start, start + number)], pa.large_string())


@given(seeds, st.integers(0, 2**40))
def test_the_stream_of_a_seed_is_that_of_the_reference(seed: int, place: int) -> None:
    assert unit(np.uint64(seed), np.uint64(place)) == unit_one(seed, place)
    assert units(nth(np.array([seed], np.uint64), np.array([place], np.uint64))).tolist() == [unit_one(seed, place)]


def test_splitmix64_gives_its_published_numbers() -> None:
    """Of seed 1234567, as Rosetta Code lists them under `Pseudo-random numbers/Splitmix64`."""
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert nth(np.full(4, 1234567, np.uint64), np.arange(4, dtype=np.uint64)).tolist() == expected


def test_lots_are_even_and_a_larger_share_chooses_the_same_documents_and_more() -> None:
    lots = lots_of(texts_of(20_000), 0, "noise")
    few, many = chosen(lots, 0.1), chosen(lots, 0.3)
    assert abs(few.mean() - 0.1) < 4 * (0.1 * 0.9 / 20_000) ** 0.5
    assert abs(many.mean() - 0.3) < 4 * (0.3 * 0.7 / 20_000) ** 0.5
    assert many[few].all() and chosen(lots, 1.0).all()


def test_another_seed_and_another_change_choose_independently() -> None:
    base = chosen(lots_of(texts_of(20_000), 0, "noise"), 0.3)
    for seed, name in ((1, "noise"), (0, "swaps")):
        other = chosen(lots_of(texts_of(20_000), seed, name), 0.3)
        assert abs((base & other).mean() - 0.09) < 4 * (0.09 * 0.91 / 20_000) ** 0.5


def test_a_document_s_lots_are_those_that_it_has_alone() -> None:
    whole = lots_of(texts_of(50), 3, "noise")
    assert lots_of(texts_of(50).slice(20, 5), 3, "noise").tolist() == whole[20:25].tolist()
    assert lots_of(texts_of(1, 20), 3, "noise").tolist() == [whole[20]]
    assert len(set(whole.tolist()) | set(seeds_of(whole, 1).tolist()) | set(seeds_of(whole, 2).tolist())) == 150
