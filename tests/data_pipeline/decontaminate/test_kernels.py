from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.decontaminate.kernels import hash_ngrams


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
