from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from data_pipeline.dedup.bands import Plan, band_keys, bucket_numbers, find_clusters, plan_work, rows_at
from foundation.progress import Meter

MILLION = 1_000_000
SMALLEST = 1  # byte: room for 1,024 entries
ROWS = st.lists(st.lists(st.integers(0, 2), min_size=7, max_size=7), max_size=30)


def sorted_in_memory(signatures: np.ndarray, bands: int, rows: int) -> dict[int, int]:
    """The plain way: each band sorted whole, a graph of all links held at once."""
    n = len(signatures)
    edges: list[tuple[int, int]] = []
    for band in range(bands):
        cut = [tuple(row) for row in signatures[:, band * rows : (band + 1) * rows].tolist()]
        order = sorted(range(n), key=lambda i: (cut[i], i))
        edges += [(a, b) for a, b in itertools.pairwise(order) if cut[a] == cut[b]]
    a, b = np.array(edges, np.int64).reshape(-1, 2).T
    _, labels = connected_components(coo_matrix((np.ones(len(a)), (a, b)), shape=(n, n)), directed=False)
    sizes = np.bincount(labels, minlength=1)
    first = {label: int(np.flatnonzero(labels == label)[0]) for label in np.flatnonzero(sizes > 1)}
    return {i: first[label] for i, label in enumerate(labels.tolist()) if label in first}


def found(parts: list[np.ndarray], bands: int, rows: int, memory_bytes: int, threads: int = 1) -> dict[int, int]:
    documents, clusters = find_clusters(parts, bands, rows, memory_bytes, Meter("", None, ""), threads)
    assert (np.diff(documents) > 0).all()
    return dict(zip(documents.tolist(), clusters.tolist(), strict=True))


@given(ROWS, st.integers(1, 3), st.integers(0, 30))
def test_finds_what_sorting_in_memory_finds(rows: list[list[int]], size: int, cut: int) -> None:
    signatures = np.array(rows, np.uint32).reshape(-1, 7)
    parts = [signatures[:cut], signatures[cut:]]
    assert found(parts, 7 // size, size, SMALLEST) == sorted_in_memory(signatures, 7 // size, size)


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("memory_bytes", [SMALLEST, 30_000, 80_000, 200_000, 1 << 30])
def test_memory_threads_and_partitions_do_not_show(memory_bytes: int, threads: int) -> None:
    """3,000 documents of 6 bands: room for one range of one band, for one band, for several and for all."""
    rng = np.random.default_rng(0)
    signatures = rng.integers(0, 60, (3000, 12), dtype=np.uint32)
    signatures[::2] += rng.integers(0, 1 << 20, (1500, 12), dtype=np.uint32)
    expected = sorted_in_memory(signatures, 6, 2)
    assert 500 < len(expected) < 3000
    assert len(set(expected.values())) > 1
    for parts in (1, 7, 3000):
        assert found(np.array_split(signatures, parts), 6, 2, memory_bytes, threads) == expected


@pytest.mark.parametrize("memory_bytes", [SMALLEST, 1 << 30])
def test_a_crowd_of_copies_takes_one_place(memory_bytes: int) -> None:
    documents, clusters = find_clusters([np.ones((20_000, 8), np.uint32)], 4, 2, memory_bytes, Meter("", None, ""))
    assert np.array_equal(documents, np.arange(20_000))
    assert not clusters.any()


@given(st.integers(1, 10**6), st.integers(1, 60), st.integers(1, 1 << 32), st.integers(1, 80))
def test_a_plan_takes_no_more_than_was_granted(num_docs: int, bands: int, memory_bytes: int, threads: int) -> None:
    """8 bytes a key, 24 an entry, 4 a document and thread beside the first; 1,024 entries are the least."""
    plan = plan_work(num_docs, bands, memory_bytes, threads)
    taken = 24 * plan.entries * plan.threads + 4 * num_docs * (plan.threads - 1)
    taken += 8 * bands * num_docs * plan.in_memory
    assert taken <= max(memory_bytes, 24 * 1024)
    assert 1 <= plan.threads <= min(threads, bands)
    assert plan.entries * plan.num_ranges >= num_docs


def test_memory_is_first_for_the_keys_then_for_threads() -> None:
    """A million documents of 25 bands: 200 MB of keys, 24 MB a room; on disk where twice as many can work then."""
    assert plan_work(MILLION, 25, 1 << 30, 2) == Plan(in_memory=True, threads=2, entries=MILLION, num_ranges=1)
    assert plan_work(MILLION, 25, 290_000_000, 4) == Plan(in_memory=True, threads=3, entries=MILLION, num_ranges=1)
    assert plan_work(MILLION, 25, 230_000_000, 4) == Plan(in_memory=False, threads=4, entries=MILLION, num_ranges=1)
    assert plan_work(MILLION, 25, 1 << 27, 2) == Plan(in_memory=False, threads=2, entries=MILLION, num_ranges=1)
    assert plan_work(MILLION, 25, 1 << 24, 2) == Plan(in_memory=False, threads=1, entries=699_050, num_ranges=2)


def test_keys_lie_on_disk_where_memory_is_short() -> None:
    made = []

    def on_disk(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        made.append((shape, dtype))
        return np.empty(shape, dtype)

    signatures = [np.arange(8_000, dtype=np.uint32).reshape(1_000, 8) // 16]
    for memory_bytes in (1 << 20, SMALLEST):
        clusters = find_clusters(signatures, 4, 2, memory_bytes, Meter("", None, ""), 1, on_disk)
        assert np.array_equal(clusters.clusters, np.repeat(np.arange(0, 1_000, 2), 2))
    assert made == [((4, 1_000), np.uint64)]


def test_progress_is_of_all_work() -> None:
    meter = Meter("", None, "")
    find_clusters([np.zeros((3_000, 12), np.uint32)], 6, 2, SMALLEST, meter)
    assert meter.done == meter.total == 3_000 * (1 + 6 * 4)


def test_keys_of_rows_that_hardly_differ_are_all_different() -> None:
    """All pairs of 1,000 values, and every bit of a key is set in half of them."""
    values = np.arange(1000, dtype=np.uint32)
    rows = np.stack([np.repeat(values, 1000), np.tile(values, 1000)], axis=1)
    keys = band_keys(rows, 0, 2)
    assert len(np.unique(keys)) == 1_000_000
    ones = [float((keys >> np.uint64(bit) & np.uint64(1)).mean()) for bit in range(64)]
    assert 0.49 < min(ones) < max(ones) < 0.51


@given(ROWS)
def test_bucket_numbers_are_equal_where_bands_are(rows: list[list[int]]) -> None:
    signatures = np.array(rows, np.uint32).reshape(-1, 7)
    numbers = bucket_numbers(signatures, 3, 2)
    assert (numbers < max(len(rows), 1) * 3).all()
    flat = {number: set() for number in numbers.ravel().tolist()}  # type: dict[int, set[tuple[int, ...]]]
    for row, mine in zip(signatures.tolist(), numbers.tolist(), strict=True):
        for band, number in enumerate(mine):
            flat[number].add((band, *row[2 * band : 2 * band + 2]))
    assert all(len(cut) == 1 for cut in flat.values())
    assert len(flat) == sum(len({tuple(row[2 * b : 2 * b + 2]) for row in rows}) for b in range(3))


def test_no_documents_no_clusters() -> None:
    documents, clusters = find_clusters([np.zeros((0, 4), np.uint32)], 2, 2, SMALLEST, Meter("", None, ""))
    assert len(documents) == len(clusters) == 0


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.data())
def test_rows_by_their_place_in_the_corpus(sizes: list[int], data: Any) -> None:
    whole = np.arange(2 * sum(sizes), dtype=np.uint32).reshape(-1, 2)
    parts = np.split(whole, np.cumsum(sizes)[:-1])
    at = np.array(data.draw(st.lists(st.integers(0, sum(sizes) - 1))), np.int64)
    assert np.array_equal(rows_at(parts, at), whole[at])
