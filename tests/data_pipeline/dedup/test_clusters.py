from __future__ import annotations

import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data_pipeline.dedup.bands import Clusters, find_clusters
from data_pipeline.dedup.clusters import Comparison, keep_order, verify
from data_pipeline.dedup.corpus import TextsInMemory
from data_pipeline.dedup.greedy import Likeness
from data_pipeline.dedup.lsh import min_equal_values
from data_pipeline.dedup.minhash import MinHash
from data_pipeline.dedup.sets import shingle_sets
from foundation.progress import Meter


def all_equal(positions: np.ndarray) -> np.ndarray:
    """Return signatures that rule nothing out."""
    return np.zeros((len(positions), 8), np.uint32)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("block_shingles", [1, 200, 2000])
@pytest.mark.parametrize("keep", ["first", "longest"])
def test_blocks_and_threads_do_not_show(random_corpus: Any, keep: Any, block_shingles: int, threads: int) -> None:
    """A cluster's documents are read in many blocks; kept ones of earlier blocks still count."""
    texts = random_corpus(3, 200)
    features = MinHash(num_perm=64, bands=32, rows=2).features(pa.array(texts, pa.large_string()))
    found = find_clusters([features.signatures], 32, 2, 1 << 20, Meter("", None, ""))
    order = keep_order(found, features.num_chars[found.documents] if keep == "longest" else None)
    comparison = Comparison(Likeness(0.6, False, np.full(101, min_equal_values(0.6, 64))), 32, 2)
    candidates = pa.array([texts[i] for i in found.documents.tolist()], pa.large_string())
    sets = [shingle_sets(candidates[:30], 5), shingle_sets(candidates[30:], 5)]
    asked: list[int] = []

    def signatures(positions: np.ndarray) -> np.ndarray:
        asked.append(len(positions))
        return np.asarray(features.signatures[positions])

    def run(block_shingles: int, threads: int) -> Any:
        return verify(order, sets, signatures, comparison, Meter("", None, ""), threads, block_shingles)

    whole = run(10**9, threads=1)
    assert len(asked) == 1
    cut = run(block_shingles, threads)
    assert len(asked) > 3
    assert list(cut.removals) == list(whole.removals)
    assert cut.counts == whole.counts
    assert cut.nearest.tolist() == whole.nearest.tolist()
    assert len(whole.nearest) > 10
    assert len(whole.removals) > 20
    assert whole.counts["largest_cluster"] > 5
    assert whole.counts["pairs_ruled_out"] > 100  # so the signatures that were carried over are the right ones


def test_a_large_cluster_costs_a_comparison_a_document() -> None:
    """2,000 texts that differ in one word of 200, in one cluster: 2 million pairs, of which few are compared."""
    rng = random.Random(0)
    base = [f"w{i}" for i in range(200)]
    texts = []
    for number in range(2000):
        words = list(base)
        words[rng.randrange(200)] = f"new{number}"
        texts.append(" ".join(words))
    dedup = MinHash(threshold=0.8, num_perm=64)
    features = dedup.features(pa.array(texts, pa.large_string()))
    result = dedup.near([features], TextsInMemory(texts))
    assert result.counts["largest_cluster"] == 2000
    assert len(result.removals) == 1999
    assert result.counts["pairs_verified"] <= 2 * 2000


def test_a_hundred_thousand_copies() -> None:
    """Every band of every document is the same: linear, and no bucket holds more than the one that stays."""
    n = 100_000
    found = Clusters(np.arange(n), np.zeros(n, np.int64))
    comparison = Comparison(Likeness(0.8, False, np.zeros(101, np.int64)), 4, 2)
    sets = shingle_sets(pa.array(["a b c"] * n, pa.large_string()), 5)
    result = verify(keep_order(found, None), [sets], all_equal, comparison, Meter("", None, ""))
    assert result.counts["pairs_verified"] == len(result.removals) == n - 1
    assert {removal.kept for removal in result.removals} == {0}


def test_a_hub_that_is_like_nobody_removes_nobody() -> None:
    """One bucket of 500 texts without a shingle in common."""
    texts = [" ".join(f"{i}_{j}" for j in range(10)) for i in range(500)]
    found = Clusters(np.arange(500), np.zeros(500, np.int64))
    comparison = Comparison(Likeness(0.1, False, np.zeros(101, np.int64)), 4, 2)
    sets = shingle_sets(pa.array(texts, pa.large_string()), 5)
    result = verify(keep_order(found, None), [sets], all_equal, comparison, Meter("", None, ""), 1, 100)
    assert not result.removals
    assert result.counts["pairs_below_threshold"] == result.counts["pairs_verified"] == 500 * 499 // 2
    assert (result.counts["clusters"], result.counts["largest_cluster"]) == (1, 500)


def test_pages_of_one_template_are_hardly_compared() -> None:
    """400 pages, seven of ten words in common: the signatures rule out nearly all pairs, and take no removal away."""
    rng = random.Random(0)
    template = [f"w{i}" for i in range(350)]
    texts = [" ".join(template + [f"{page}_{i}" for i in range(150)]) for page in range(400)]
    texts += [text + " and a few more words" for text in rng.sample(texts, 50)]
    dedup = MinHash(threshold=0.8)
    features = dedup.features(pa.array(texts, pa.large_string()))
    result = dedup.near([features], TextsInMemory(texts))
    counts = result.counts
    assert len(result.removals) == 50
    assert counts["pairs_ruled_out"] > 40_000
    assert counts["pairs_verified"] < 0.05 * counts["pairs_ruled_out"]
