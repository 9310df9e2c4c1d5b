"""From candidates to removals: a document goes only when a kept one is verified similar to it, and that one is named.

Chains of candidates glue what is not alike (marin-community/marin#6851: an unverified component took a source from
859,092 documents to 2), so a component is no verdict: it is only where documents have to be compared at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from data_pipeline.dedup.dedup import NearResult
from data_pipeline.dedup.greedy import KEPT, KeptRanks, Links, Sets, Sketches, Verdicts, judge
from data_pipeline.dedup.lsh import Buckets, find_clusters, min_equal_values
from data_pipeline.dedup.shingles import shingle_set
from data_pipeline.dedup.words import join_words
from data_pipeline.documents import Removal
from foundation.progress import Meter

Keep = Literal["first", "longest"]
BLOCK_CHARS = 64_000_000  # of text asked for at a time; its shingle sets take about 8 bytes a word beside it


@dataclass(frozen=True, slots=True)
class _Order:
    """The candidates in the order they are judged: cluster after cluster, each in keep order. A rank counts through it.

    Attributes:
        documents: (k,) int64 positions, by rank.
        clusters: (k,) int64, by rank.
        links: the buckets of each rank.
    """

    documents: np.ndarray
    clusters: np.ndarray
    links: Links


def verify(
    buckets: Buckets,
    num_chars: np.ndarray,
    keep: Keep,
    threshold: float,
    ngram: int,
    signatures_of: Callable[[np.ndarray], np.ndarray],
    texts_of: Callable[[np.ndarray], list[str]],
    progress: Meter,
    block_chars: int = BLOCK_CHARS,
) -> NearResult:
    """Judge all candidates. The result depends on nothing but the documents and the settings.

    Args:
        buckets: who shares a band with whom.
        num_chars: (n,) int64, the length of every document of the corpus in code points.
        keep: which of a cluster's documents are taken first: the earliest, or the longest (the earliest of equals).
        threshold: a document goes at this Jaccard similarity of its set of shingles to a kept one's, or above.
        ngram: words per shingle.
        signatures_of: gives the signatures, (m, num_perm) uint32, at (m,) int64 positions, in that order.
        texts_of: gives the texts at (m,) int64 positions, in that order.
        progress: receives every document once.
        block_chars: code points of text asked for at a time. In memory are the shingle sets and signatures of one
            block and of the documents kept so far in the cluster that is being judged.
    """
    order = _keep_order(buckets, num_chars, keep)
    judging = _Judging(order, buckets, threshold, signatures_of(order.documents[:0]).shape[1])
    progress.add(len(num_chars) - len(order.documents))
    for start, stop in _blocks(num_chars[order.documents], block_chars):
        documents = order.documents[start:stop]
        texts = pa.array(texts_of(documents), pa.large_string())
        sets = [shingle_set(words, ngram) for words in join_words(texts)]
        judging.block(start, sets, signatures_of(documents))
        progress.add(stop - start)
    return _result(order, judging.verdicts, threshold)


def _keep_order(buckets: Buckets, num_chars: np.ndarray, keep: Keep) -> _Order:
    documents, clusters = find_clusters(buckets)
    preference = -num_chars[documents] if keep == "longest" else np.zeros(len(documents), np.int64)
    order = np.lexsort((documents, preference, clusters))
    rank_of = np.empty(len(order), np.int64)
    rank_of[order] = np.arange(len(order))
    ranks = rank_of[np.searchsorted(documents, buckets.members)]
    starts = np.concatenate([[0], np.cumsum(np.bincount(ranks, minlength=len(documents)))])
    links = Links(starts, buckets.numbers[np.argsort(ranks, kind="stable")])
    return _Order(documents[order], clusters[order], links)


def _blocks(sizes: np.ndarray, block_chars: int) -> Iterator[tuple[int, int]]:
    """Cut ranks into runs of at most `block_chars` (one longer document excepted)."""
    ends = np.cumsum(sizes)
    start = 0
    while start < len(sizes):
        before = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, before + block_chars, side="right")), start + 1)
        yield start, stop
        start = stop


class _Judging:
    """Walks the ranks block by block; holds sets and signatures of kept ones that later ones may be compared with."""

    def __init__(self, order: _Order, buckets: Buckets, threshold: float, num_perm: int) -> None:
        k = len(order.documents)
        self.verdicts = Verdicts(np.full(k, KEPT, np.int64), np.zeros(k), np.zeros(3, np.int64))
        self._order, self._threshold = order, threshold
        num_buckets = len(buckets.starts) - 1
        self._kept = KeptRanks(
            buckets.starts, np.zeros(num_buckets, np.int64), np.empty(len(buckets.members), np.int64)
        )
        self._sets = Sets(np.zeros(0, np.uint64), np.zeros(k, np.int64), np.zeros(k, np.int64))
        min_equal = min_equal_values(threshold, num_perm)
        self._sketches = Sketches(np.zeros((0, num_perm), np.uint32), np.zeros(k, np.int64), min_equal)
        self._carried = np.zeros(0, np.int64)  # ranks whose sets and signatures are held

    def block(self, start: int, sets: list[np.ndarray], signatures: np.ndarray) -> None:
        """Judge the ranks from `start` on, whose sorted shingle sets and signatures these are."""
        stop = start + len(sets)
        pool, starts, sizes = self._sets
        sizes[start:stop] = [len(set_) for set_ in sets]
        starts[start:stop] = len(pool) + np.cumsum(sizes[start:stop]) - sizes[start:stop]
        self._sets = Sets(np.concatenate([pool, *sets]), starts, sizes)
        values, places, min_equal = self._sketches
        places[start:stop] = len(values) + np.arange(stop - start)
        self._sketches = Sketches(np.concatenate([values, signatures]), places, min_equal)
        judge(start, stop, self._threshold, self._order.links, self._kept, self._sets, self._sketches, self.verdicts)
        self._carry_over(start, stop)

    def _carry_over(self, start: int, stop: int) -> None:
        """Hold on to what is known of the kept documents of the last cluster, which may go on; drop all others."""
        pool, starts, sizes = self._sets
        ranks = np.concatenate([self._carried, np.arange(start, stop)])
        is_open = self._order.clusters[ranks] == self._order.clusters[stop - 1]
        self._carried = ranks[is_open & (self.verdicts.witness[ranks] == KEPT)]
        bounds = zip(starts[self._carried].tolist(), sizes[self._carried].tolist(), strict=True)
        pool = np.concatenate([pool[:0], *(pool[at : at + size] for at, size in bounds)])
        starts[self._carried] = np.cumsum(sizes[self._carried]) - sizes[self._carried]
        self._sets = Sets(pool, starts, sizes)
        values, places, min_equal = self._sketches
        values = values[places[self._carried]]
        places[self._carried] = np.arange(len(values))
        self._sketches = Sketches(values, places, min_equal)


def _result(order: _Order, verdicts: Verdicts, threshold: float) -> NearResult:
    ranks = np.flatnonzero(verdicts.witness != KEPT)
    ranks = ranks[np.argsort(order.documents[ranks])]
    columns = (order.documents[ranks], order.documents[verdicts.witness[ranks]], verdicts.similarity[ranks])
    removals = [
        Removal(position, "near_duplicate", value=similarity, threshold=threshold, kept=kept, similarity=similarity)
        for position, kept, similarity in zip(*(column.tolist() for column in columns), strict=True)
    ]
    _, sizes = np.unique(order.clusters, return_counts=True)
    counts = {
        "candidate_documents": len(order.documents),
        "clusters": len(sizes),
        "largest_cluster": int(sizes.max(initial=0)),
        "pairs_verified": int(verdicts.tally[0]),
        "pairs_below_threshold": int(verdicts.tally[1]),
        "pairs_ruled_out": int(verdicts.tally[2]),
    }
    return NearResult(removals, counts)
