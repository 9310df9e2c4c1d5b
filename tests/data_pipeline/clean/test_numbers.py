from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.clean.numbers import (
    FEWEST_SLOTS,
    NUM_NUMBERS,
    NUM_PROBES,
    NUM_SLOTS,
    forget,
    number_of_key,
    number_of_span,
    table_of,
)


def numbers_of(words: list[bytes], keys: list[int]) -> list[int]:
    """Number words by the keys given, in a table that was used before."""
    data = np.frombuffer(b"".join(words), np.uint8)
    stops = np.cumsum([len(word) for word in words]).tolist()
    table = table_of(len(words) + 1)
    forget(table.slots, table.state, 0)
    number_of_span(*table, data, 0, 0, 77)
    forget(table.slots, table.state, 0)
    spans = zip([0, *stops], stops, keys, strict=False)
    return [number_of_span(*table, data, start, stop, key) for start, stop, key in spans]


@given(st.lists(st.binary(max_size=3), max_size=200), st.integers(1, 2**63 - 1))
def test_equal_spans_have_one_number_in_order_of_first_occurrence(words: list[bytes], modulus: int) -> None:
    first = {word: number for number, word in enumerate(dict.fromkeys(words))}
    keys = [int.from_bytes(word, "little") * 0x1E3779B97F4A7C15 % modulus for word in words]
    assert numbers_of(words, keys) == [first[word] for word in words]


def test_spans_whose_hashes_collide_are_told_apart() -> None:
    words = [b"ab", b"cd", b"ab", b"abc", b""]
    assert numbers_of(words, [5] * 5) == [0, 1, 0, 2, 3]


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 9), max_size=300))
def test_keys_are_numbered_too(keys: list[int]) -> None:
    first = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    table = table_of(len(keys) + 1)
    forget(table.slots, table.state, 0)
    assert [number_of_key(*table, key) for key in keys] == [first[key] for key in keys]


@pytest.mark.parametrize("step", [1, 1 << 32, 0x1E3779B97F4A7C15])
def test_a_table_grows_with_what_it_holds_and_few_places_are_looked_at(step: int) -> None:
    most = 100_000
    table = table_of(most)
    forget(table.slots, table.state, 0)
    assert table.state[NUM_SLOTS] == FEWEST_SLOTS
    for place in range(most):
        number_of_key(*table, (place * step + 2**63) % 2**64 - 2**63)
    assert table.state[NUM_NUMBERS] == most
    assert 2 * most <= table.state[NUM_SLOTS] <= 4 * most
    assert table.state[NUM_PROBES] < 5 * most
