"""Corpora of a million documents: features and texts are made when they are asked for."""

from __future__ import annotations

import tempfile
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data_pipeline.dedup.corpus import Corpus, MakeSets
from data_pipeline.dedup.dedup import Features, NearResult
from data_pipeline.dedup.minhash import MinHash
from data_pipeline.dedup.sets import Sets
from data_pipeline.dedup.shingles import mix64

NUM_PERM = 128
MILLION = 1_000_000


@dataclass
class Made:
    """Signatures that depend on a document's number alone; `of` says which documents have whose."""

    size: int
    of: Callable[[np.ndarray], np.ndarray]

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, rows: slice | np.ndarray, /) -> np.ndarray:
        positions = np.arange(*rows.indices(self.size)) if isinstance(rows, slice) else rows
        places = self.of(positions).astype(np.uint64)[:, None] * np.uint64(NUM_PERM) + np.arange(
            NUM_PERM, dtype=np.uint64
        )
        return (mix64(places) >> np.uint64(32)).astype(np.uint32)


@dataclass
class MadeCorpus(Corpus):
    """Texts by position."""

    text_of: Callable[[int], str]
    threads: int = 2

    def texts_at(self, positions: np.ndarray) -> list[str]:
        return [self.text_of(position) for position in positions.tolist()]

    def sets_at(self, positions: np.ndarray, make: MakeSets) -> list[Sets]:
        blocks = np.array_split(positions, len(positions) // 100_000 + 1)
        return [make(pa.array(self.texts_at(block), pa.large_string())) for block in blocks]

    def on_disk(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        with tempfile.TemporaryFile() as file:
            file.truncate(int(np.prod(shape)) * np.dtype(dtype).itemsize)
            return np.memmap(file, dtype, "r+", 0, shape).view(np.ndarray)


def near(
    size: int, of: Callable[[np.ndarray], np.ndarray], text_of: Callable[[int], str], memory_bytes: int = 1 << 30
) -> NearResult:
    features = Features(np.zeros((size, 2), np.uint64), np.full(size, 500), Made(size, of))
    dedup = MinHash(keep="first", num_perm=NUM_PERM, memory_bytes=memory_bytes)
    return dedup.near([features], MadeCorpus(text_of))


def nobody(position: int) -> str:
    raise AssertionError(f"document {position} is no candidate")


@pytest.mark.bad_input(43)
@pytest.mark.slow
def test_a_million_copies() -> None:
    result = near(MILLION, np.zeros_like, lambda position: "one and the same text")
    assert len(result.removals) == result.counts["pairs_verified"] == MILLION - 1
    assert {removal.kept for removal in result.removals} == {0}


@pytest.mark.bad_input(43)
@pytest.mark.slow
def test_a_million_unlike_documents() -> None:
    result = near(MILLION, lambda positions: positions, nobody)
    assert not result.removals
    assert result.counts["candidate_documents"] == 0


@pytest.mark.slow
def test_a_quarter_of_a_million_pairs_of_which_none_is_missed() -> None:
    """Document 2i + 1 repeats document 2i; the tables have room for 1/36 of the keys."""
    size = MILLION // 2
    result = near(size, lambda positions: positions // 2, lambda position: f"text {position // 2}", 1 << 23)
    assert [removal.position for removal in result.removals] == list(range(1, size, 2))
    assert all(removal.kept == removal.position - 1 for removal in result.removals)


@pytest.mark.bad_input(43)
@pytest.mark.slow
def test_one_cluster_of_a_hundred_thousand() -> None:
    """200 words of which each document changes one: every one is like the first, 0.9 and more."""
    words = [f"w{i}" for i in range(200)]

    def text_of(position: int) -> str:
        place = position % 200
        return " ".join([*words[:place], f"new{position}", *words[place + 1 :]])

    result = near(100_000, np.zeros_like, text_of)
    assert result.counts["largest_cluster"] == 100_000
    assert len(result.removals) == 99_999
    assert min(removal.similarity or 0 for removal in result.removals) >= 0.9


@pytest.mark.slow
def test_memory_is_flat_when_the_corpus_grows_tenfold() -> None:
    """The signatures of 900,000 more documents are 460 MB; what is held of each is a few numbers."""
    peaks = []
    for size in (MILLION // 10, MILLION):
        tracemalloc.start()
        near(size, lambda positions: positions, nobody, memory_bytes=1 << 24)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 64 * 9 * MILLION // 10
    assert peaks[0] < 100 << 20


@pytest.mark.slow
def test_a_removed_document_is_a_few_numbers() -> None:
    held, sizes = [], (MILLION // 40, MILLION // 20)  # no more: traced, it is ten times as slow
    for size in sizes:
        tracemalloc.start()
        result = near(size, np.zeros_like, lambda position: "one and the same text")
        held.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        assert len(result.removals) == size - 1
    assert held[1] - held[0] < 64 * (sizes[1] - sizes[0])
