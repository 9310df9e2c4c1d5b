"""Lots against the plain ones, and what they hang on."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.mix.lots import below, file_lots, lot, lots

NAMES = st.lists(st.tuples(st.text(max_size=9), st.text(max_size=30)), min_size=1, max_size=5)
SEEDS = st.integers(0, 2**64 - 1)


@given(NAMES, SEEDS, st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2**62)), max_size=20))
def test_lots_are_the_plain_ones(names: list[tuple[str, str]], seed: int, keys: list[tuple[int, int]]) -> None:
    files = np.array([file % len(names) for file, _ in keys], np.int32)
    rows = np.array([row for _, row in keys], np.int64)
    found = lots(file_lots("split", seed, names), files, rows).tolist()
    assert found == [lot("split", seed, names[file], row) for file, row in zip(files, rows.tolist(), strict=True)]


def test_lots_stay_what_they_were() -> None:
    """Shards of earlier runs rest on them."""
    assert lot("split", 0, ("web", "a.jsonl"), 0) == 5522181989420136097
    assert lot("sample", 7, ("büro", "x/b.jsonl.zst"), 123456789) == 9229138255103170244


def test_purpose_seed_source_file_and_row_each_draw_other_lots() -> None:
    drawn = [
        lot(purpose, seed, (source, file), row)
        for purpose in ("split", "sample")
        for seed in (0, 1)
        for source in ("web", "books")
        for file in ("a", "b")
        for row in (0, 1)
    ]
    assert len(set(drawn)) == len(drawn)
    rows = np.arange(4000)
    one, other = (lots(file_lots(name, 0, [("w", "f")]), np.zeros(4000, int), rows) for name in ("split", "sample"))
    assert abs((below(one, 0.5) & below(other, 0.5)).mean() - 0.25) < 0.03


def test_a_share_of_lots_is_a_share_of_them() -> None:
    drawn = lots(file_lots("split", 0, [("w", "f")]), np.zeros(40_000, int), np.arange(40_000))
    for frac in (0.0, 0.01, 0.3, 1.0):
        assert abs(below(drawn, frac).mean() - frac) <= 4 * np.sqrt(frac * (1 - frac) / 40_000)
    assert below(np.array([2**64 - 1], np.uint64), 1.0).all()
