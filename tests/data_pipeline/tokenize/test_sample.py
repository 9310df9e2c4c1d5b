"""The sample is a uniform, bounded, pure function of the documents' keys."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.tokenize.sample import choose, key_hashes

MASK = (1 << 64) - 1


def plain_hash(file: int, row: int, seed: int) -> int:
    state = 0
    for value in (seed, file, row):
        state = (state ^ value) + 0x9E3779B97F4A7C15 & MASK
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & MASK
        state = (state ^ state >> 27) * 0x94D049BB133111EB & MASK
        state ^= state >> 31
    return state


def plain_choose(keys: list[tuple[int, int]], sizes: list[int], budget: int, seed: int) -> set[tuple[int, int]]:
    taken, filled = set(), 0
    by_hash = sorted(zip(keys, sizes, strict=True), key=lambda document: plain_hash(*document[0], seed))
    for key, size in by_hash:
        if taken and filled >= budget:
            break
        taken.add(key)
        filled += size
    return taken


documents = st.dictionaries(
    st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 1)), st.integers(0, 1000), min_size=1, max_size=30
)


@given(documents=documents, budget=st.integers(1, 10_000), seed=st.integers(0, MASK))
def test_equals_the_plain_form_in_any_order(documents: dict[tuple[int, int], int], budget: int, seed: int) -> None:
    keys, sizes = list(documents), list(documents.values())
    expected = plain_choose(keys, sizes, budget, seed)
    for order in (range(len(keys)), range(len(keys) - 1, -1, -1)):
        files = np.array([keys[i][0] for i in order], np.int32)
        rows = np.array([keys[i][1] for i in order], np.int64)
        positions = choose(files, rows, np.array([sizes[i] for i in order], np.int64), budget, seed)
        assert {(int(files[p]), int(rows[p])) for p in positions} == expected
        assert positions.tolist() == sorted(set(positions.tolist()))


def test_nothing_of_nothing() -> None:
    empty = np.zeros(0, np.int64)
    assert choose(empty.astype(np.int32), empty, empty, 100, 0).size == 0


def test_a_larger_budget_only_adds() -> None:
    files, rows = np.zeros(500, np.int32), np.arange(500)
    sizes = np.random.default_rng(0).integers(1, 100, 500)
    small, large = (set(choose(files, rows, sizes, budget, 3).tolist()) for budget in (2_000, 9_000))
    assert small < large


def test_is_uniform_over_files_and_rows() -> None:
    files, rows = np.repeat(np.arange(8, dtype=np.int32), 5000), np.tile(np.arange(5000), 8)
    positions = choose(files, rows, np.ones(40_000, np.int64), 10_000, 1)
    assert len(positions) == 10_000
    counts = np.histogram2d(files[positions], rows[positions], bins=(8, 10))[0]
    # 80 cells of 500 documents, each taken with probability 1/4: expected 125, deviation 9.7
    assert np.abs(counts - 125).max() < 5 * 9.7


def test_seeds_and_neighbours_are_unrelated() -> None:
    files, rows = np.zeros(4096, np.int32), np.arange(4096)
    hashes = [key_hashes(files, rows, seed) for seed in (0, 1)]
    for bit in range(64):
        ones = [(h >> np.uint64(bit)) & np.uint64(1) for h in hashes]
        assert abs(float(ones[0].mean()) - 0.5) < 0.05
        assert abs(float((ones[0] ^ ones[1]).mean()) - 0.5) < 0.05
