from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.decontaminate.kernels import hash_ngrams


def ngrams_of(texts: list[list[int]], widths: list[int]) -> list[int]:
    words = np.array([word for text in texts for word in text], np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    firsts = np.cumsum([0, *map(len, texts)])
    return hash_ngrams(words, firsts, np.array(widths, np.int64)).tolist()  # type: ignore[no-any-return]


@given(st.lists(st.tuples(st.lists(st.integers(0, 3), max_size=12), st.integers(0, 5)), max_size=4))
def test_ngram_hashes_are_equal_where_the_runs_are(texts: list[tuple[list[int], int]]) -> None:
    runs = [tuple(text[i : i + width]) for text, width in texts for i in range(len(text) - width + 1 if width else 0)]
    found = ngrams_of([text for text, _ in texts], [width for _, width in texts])
    assert len(found) == len(runs)
    assert len(dict(zip(runs, found, strict=True))) == len(set(runs)) == len(set(found))
    assert [dict(zip(runs, found, strict=True))[run] for run in runs] == found


def test_runs_of_different_lengths_do_not_meet() -> None:
    assert len(set(ngrams_of([[0, 0, 0]] * 3, [1, 2, 3]))) == 3
