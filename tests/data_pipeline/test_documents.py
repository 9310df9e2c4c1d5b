"""The fingerprint of a set of documents: free of order, and no loss or swap of keys goes unseen."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.documents import fingerprint

KEYS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=8)


def of(keys: list[tuple[int, int]]) -> int:
    return fingerprint(np.array([file for file, _ in keys], np.int32), np.array([row for _, row in keys], np.int64))


@given(KEYS, KEYS)
def test_is_the_same_for_the_same_documents_alone(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    assert (of(one) == of(other)) == (sorted(one) == sorted(other))


@given(KEYS, KEYS)
def test_disjoint_sets_add_up(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    assert of(one + other) == (of(one) + of(other)) % (1 << 128)
