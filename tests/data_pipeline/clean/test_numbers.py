from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.clean.bounds import KEY_BYTES, hash_span, key_of_word
from data_pipeline.clean.numbers import (
    FEWEST_SLOTS,
    NUM_NUMBERS,
    NUM_PROBES,
    NUM_SLOTS,
    Numbers,
    forget,
    number_keys,
    number_of_span,
    number_words,
    table_of,
)


def numbers_of(words: list[bytes], keys: list[int]) -> list[int]:
    """Number words by the keys given, in a table that was used before."""
    data = np.frombuffer(b"".join(words), np.uint8)
    stops = np.cumsum([len(word) for word in words]).tolist()
    table = table_of(len(words) + 1)
    forget(table, 0)
    number_of_span(table, data, 0, 0, 77)
    forget(table, 0)
    spans = zip([0, *stops], stops, keys, strict=False)
    return [number_of_span(table, data, start, stop, key) for start, stop, key in spans]


@given(st.lists(st.binary(max_size=3), max_size=200), st.integers(1, 2**63 - 1))
def test_equal_spans_have_one_number_in_order_of_first_occurrence(words: list[bytes], modulus: int) -> None:
    first = {word: number for number, word in enumerate(dict.fromkeys(words))}
    keys = [int.from_bytes(word, "little") * 0x1E3779B97F4A7C15 % modulus for word in words]
    assert numbers_of(words, keys) == [first[word] for word in words]


def test_spans_whose_hashes_collide_are_told_apart() -> None:
    words = [b"ab", b"cd", b"ab", b"abc", b""]
    assert numbers_of(words, [5] * 5) == [0, 1, 0, 2, 3]


def numbers_of_keys(keys: list[int], table: Numbers) -> tuple[list[int], list[int]]:
    """Number keys; return their numbers and how often each occurs."""
    numbers, counts = np.zeros((2, len(keys)), np.int32)
    forget(table, 0)
    number_keys(table, len(keys), np.array(keys, np.int64), numbers, counts)
    return numbers.tolist(), counts[: table.state[NUM_NUMBERS]].tolist()


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 9), max_size=300))
def test_keys_are_numbered_and_counted(keys: list[int]) -> None:
    first = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    numbers, counts = numbers_of_keys(keys, table_of(len(keys) + 1))
    assert numbers == [first[key] for key in keys]
    assert counts == list(Counter(keys).values())


@given(st.lists(st.text("ab\x00é", min_size=1, max_size=20), max_size=100), st.integers(0, 63))
def test_words_are_numbered_and_counted_whatever_their_keys(words: list[str], bits: int) -> None:
    encoded = [word.encode() for word in words]
    ends = np.cumsum([0, *map(len, encoded)])
    data = np.frombuffer(b"".join(encoded), np.uint8)
    bounds = np.stack([ends[:-1], ends[1:]], axis=1).ravel()
    keys = np.array([hash_span(data, start, stop) >> bits for start, stop in itertools.pairwise(ends)], np.int64)
    short = np.array([len(word) <= KEY_BYTES for word in encoded], bool)
    exact = [int(key_of_word(data, start, stop)) for start, stop in itertools.pairwise(ends)]
    keys[short] = np.array(exact, np.uint64).view(np.int64)[short]
    numbers, counts = np.zeros((2, len(words)), np.int32)
    table = table_of(len(words) + 1)
    forget(table, 0)
    number_words(table, data, len(words), bounds, keys, numbers, counts)
    first = {word: number for number, word in enumerate(dict.fromkeys(words))}
    assert numbers.tolist() == [first[word] for word in words]
    assert counts[: len(first)].tolist() == list(Counter(words).values())


@pytest.mark.parametrize("step", [1, 1 << 32, 0x1E3779B97F4A7C15])
def test_a_table_grows_with_what_it_holds_and_few_places_are_looked_at(step: int) -> None:
    most = 100_000
    table = table_of(most)
    forget(table, 0)
    assert table.state[NUM_SLOTS] == FEWEST_SLOTS
    numbers_of_keys([(place * step + 2**63) % 2**64 - 2**63 for place in range(most)], table)
    assert table.state[NUM_NUMBERS] == most
    assert 2 * most <= table.state[NUM_SLOTS] <= 4 * most
    assert table.state[NUM_PROBES] < 5 * most
