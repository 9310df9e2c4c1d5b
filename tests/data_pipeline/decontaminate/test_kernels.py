from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.decontaminate.kernels import Table, find_ngrams, hash_ngrams


@given(st.lists(st.integers(0, 3), max_size=20), st.integers(1, 5))
def test_ngram_hashes_are_equal_where_the_runs_are(numbers: list[int], length: int) -> None:
    hashes = np.array(numbers, np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    found = hash_ngrams(hashes, length).tolist()
    runs = [tuple(numbers[i : i + length]) for i in range(len(numbers) - length + 1)]
    assert len(found) == len(runs)
    assert len(dict(zip(runs, found, strict=True))) == len(set(runs)) == len(set(found))
    assert [dict(zip(runs, found, strict=True))[run] for run in runs] == found


def test_runs_of_different_lengths_do_not_meet() -> None:
    hashes = np.array([0, 0, 0], np.uint64)
    found = [hash_ngrams(hashes, length).tolist() for length in (1, 2, 3)]
    assert len({value for values in found for value in values}) == 3


@given(st.lists(st.integers(0, 3), max_size=20), st.sets(st.integers(0, 63)), st.integers(1, 6))
def test_a_table_finds_what_is_in_it(numbers: list[int], chosen: set[int], bits: int) -> None:
    """Entries that share their first bits, empty entries, the first and the last one."""
    words = np.array(numbers, np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    lengths = np.array([1, 3])
    ngrams = [hash_ for length in (1, 3) for hash_ in hash_ngrams(words, length).tolist()]
    others = np.random.default_rng(0).integers(0, 2**64, 20, dtype=np.uint64).tolist()
    hashes = sorted({hash_ for i, hash_ in enumerate(ngrams) if i in chosen} | {*others, 0, 2**64 - 1})
    starts = [sum(hash_ >> (64 - bits) < entry for hash_ in hashes) for entry in range(2**bits + 1)]
    table = Table(np.array(hashes, np.uint64), np.array(starts, np.int64), np.uint64(64 - bits))
    expected = [hashes.index(hash_) for hash_ in ngrams if hash_ in hashes]
    assert find_ngrams(words, lengths, table).tolist() == expected
