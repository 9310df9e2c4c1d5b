"""Down-sampling against the plain one; more keeps the same and more."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.mix.sample import is_kept_part, kept, kept_plainly

KEEP = st.one_of(st.floats(1e-6, 1.0), st.integers(1, 5000).map(lambda size: {"bytes": float(size)}))
DOCUMENTS = st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 900)), min_size=1, max_size=30)


def arrays(documents: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([lot for lot, _ in documents], np.uint64), np.array([size for _, size in documents], np.int64)


@given(DOCUMENTS, KEEP)
def test_what_is_kept_is_what_is_kept_plainly(documents: list[tuple[int, int]], keep: Any) -> None:
    lots, sizes = arrays(documents)
    found = kept(lots, sizes, keep)
    assert found.tolist() == kept_plainly(lots.tolist(), sizes.tolist(), keep)
    assert found.any()
    if isinstance(keep, dict):
        assert sizes[found].sum() <= keep["bytes"] or found.sum() == 1


@given(DOCUMENTS, KEEP, st.floats(1.0, 9.0))
def test_more_keeps_the_same_and_more(documents: list[tuple[int, int]], keep: Any, times: float) -> None:
    more = {"bytes": keep["bytes"] * times} if isinstance(keep, dict) else min(1.0, keep * times)
    lots, sizes = arrays(documents)
    assert (kept(lots, sizes, more) >= kept(lots, sizes, keep)).all()


def test_a_share_is_a_share_of_the_documents() -> None:
    lots = np.random.default_rng(0).integers(0, 2**64, 20_000, np.uint64)
    assert kept(lots, np.ones(20_000, np.int64), 0.25).mean() == pytest.approx(0.25, abs=0.02)
    assert kept(lots, np.ones(20_000, np.int64), 1.0).all()
    assert kept(lots, np.full(20_000, 7), {"bytes": 7_005}).sum() == 1000


@pytest.mark.parametrize("value", [0, -0.1, 1.5, True, "0.5", None, {"bytes": 0}, {"tokens": 5}, {}, [0.5]])
def test_what_is_no_part_is_refused(value: Any) -> None:
    assert not is_kept_part(value)
