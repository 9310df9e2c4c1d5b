"""From candidates to removals: a document goes only when a kept one is verified similar to it, and that one is named.

Chains of candidates glue what is not alike (marin-community/marin#6851: an unverified component took a source from
859,092 documents to 2), so a component is no verdict: it is only where documents have to be compared at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from data_pipeline.dedup.bands import Clusters, band_keys
from data_pipeline.dedup.dedup import NearResult
from data_pipeline.dedup.greedy import KEPT, Block, Likeness, judge
from data_pipeline.dedup.shingles import shingle_set
from data_pipeline.dedup.words import join_words
from data_pipeline.documents import Removal
from foundation.progress import Meter

BLOCK_CHARS = 64_000_000  # of text asked for at a time; its shingle sets take about 8 bytes a word beside it
MOST_CLUSTERS = 10  # that are named: the largest
BLOCK_DOCS = 1 << 17  # the same for short texts: signatures and bands of a document take 2 KB


@dataclass(frozen=True, slots=True)
class Reader:
    """What is known of documents, by (m,) int64 positions, in that order.

    Attributes:
        signatures: gives (m, num_perm) uint32.
        texts: gives the texts.
    """

    signatures: Callable[[np.ndarray], np.ndarray]
    texts: Callable[[np.ndarray], list[str]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """How documents are compared.

    Attributes:
        likeness: when one goes.
        ngram: words per shingle.
        bands, rows: who is compared with whom.
    """

    likeness: Likeness
    ngram: int
    bands: int
    rows: int


@dataclass(frozen=True, slots=True)
class Ranked:
    """The candidates in the order they are judged: cluster after cluster, each in keep order. A rank counts through it.

    Attributes:
        documents: (k,) int64 positions, by rank.
        clusters: (k,) int64, by rank.
    """

    documents: np.ndarray
    clusters: np.ndarray


def keep_order(found: Clusters, lengths: np.ndarray | None, preference: np.ndarray | None = None) -> Ranked:
    """Return candidates in the order they are judged: of a cluster the lowest preference first, of equals the longest.

    Args:
        lengths, preference: (n,) of every document of the corpus; None: it does not count.
    """
    documents, clusters = found
    keys = [documents]
    keys += [] if lengths is None else [-lengths[documents]]
    keys += [] if preference is None else [preference[documents]]
    order = np.lexsort((*keys, clusters))
    return Ranked(documents[order], clusters[order])


def verify(
    ranked: Ranked,
    num_chars: np.ndarray,
    comparison: Comparison,
    reader: Reader,
    progress: Meter,
    block_chars: int = BLOCK_CHARS,
) -> NearResult:
    """Judge all candidates. The result depends on nothing but the documents and the settings.

    Args:
        ranked: the candidates.
        num_chars: (n,) int64, the length of every document of the corpus in code points.
        progress: receives every document once.
        block_chars: code points of text asked for at a time. In memory are the shingle sets and signatures of one
            block and of the documents kept so far in the cluster that is being judged.
    """
    judging = _Judging(ranked, comparison)
    progress.add(len(num_chars) - len(ranked.documents))
    for start, stop in _blocks(num_chars[ranked.documents], block_chars):
        documents = ranked.documents[start:stop]
        texts = pa.array(reader.texts(documents), pa.large_string())
        sets = [shingle_set(words, comparison.ngram) for words in join_words(texts)]
        judging.block(start, sets, reader.signatures(documents))
        progress.add(stop - start)
    return judging.result()


def _blocks(sizes: np.ndarray, block_chars: int) -> Iterator[tuple[int, int]]:
    """Cut ranks into runs of at most `block_chars` (one longer document excepted) and at most BLOCK_DOCS."""
    ends = np.cumsum(sizes)
    start = 0
    while start < len(sizes):
        before = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, before + block_chars, side="right")), start + 1)
        stop = min(stop, start + BLOCK_DOCS)
        yield start, stop
        start = stop


class _Judging:
    """Walks the ranks block by block; holds sets and signatures of kept ones that later ones may be compared with."""

    def __init__(self, ranked: Ranked, comparison: Comparison) -> None:
        k = len(ranked.documents)
        self._ranked, self._comparison = ranked, comparison
        self._witness, self._similarity = np.full(k, KEPT, np.int64), np.zeros(k)
        self._nearest, self._tally = np.zeros(k), np.zeros(3, np.int64)
        self._carried = np.zeros(0, np.int64)  # ranks whose sets and signatures are held
        self._sets: list[np.ndarray] = []
        self._signatures: np.ndarray | None = None

    def block(self, start: int, sets: list[np.ndarray], signatures: np.ndarray) -> None:
        """Judge the ranks from `start` on, whose sorted shingle sets and signatures these are."""
        stop = start + len(sets)
        ranks = np.concatenate([self._carried, np.arange(start, stop)])
        sets = [*self._sets, *sets]
        if self._signatures is not None:
            signatures = np.concatenate([self._signatures, signatures])
        block = Block(
            _buckets(signatures, self._comparison.bands, self._comparison.rows),
            np.concatenate(sets),
            np.cumsum([0, *map(len, sets)]),
            signatures,
        )
        verdicts = judge(block, len(self._carried), self._comparison.likeness)
        removed = np.flatnonzero(verdicts.witness != KEPT)
        self._witness[ranks[removed]] = ranks[verdicts.witness[removed]]
        self._similarity[ranks[removed]] = verdicts.similarity[removed]
        self._nearest[start:stop] = verdicts.nearest[len(self._carried) :]
        self._tally += verdicts.tally
        # what is kept of the last cluster, which may go on
        is_open = self._ranked.clusters[ranks] == self._ranked.clusters[stop - 1]
        carried = np.flatnonzero(is_open & (verdicts.witness == KEPT))
        self._carried, self._sets = ranks[carried], [sets[place] for place in carried.tolist()]
        self._signatures = signatures[carried]

    def result(self) -> NearResult:
        """Return what was decided of all ranks."""
        ranked, limit = self._ranked, self._comparison.likeness.threshold
        ranks = np.flatnonzero(self._witness != KEPT)
        ranks = ranks[np.argsort(ranked.documents[ranks])]
        kept = ranked.documents[self._witness[ranks]]
        columns = (ranked.documents[ranks], kept, self._similarity[ranks], ranked.clusters[ranks])
        removals = [
            Removal(at, "near_duplicate", value=alike, threshold=limit, kept=witness, similarity=alike, cluster=cluster)
            for at, witness, alike, cluster in zip(*(column.tolist() for column in columns), strict=True)
        ]
        labels, sizes = np.unique(ranked.clusters, return_counts=True)
        counts = {
            "candidate_documents": len(ranked.documents),
            "clusters": len(sizes),
            "largest_cluster": int(sizes.max(initial=0)),
            "pairs_verified": int(self._tally[0]),
            "pairs_below_threshold": int(self._tally[1]),
            "pairs_ruled_out": int(self._tally[2]),
        }
        largest = np.lexsort((labels, -sizes))[:MOST_CLUSTERS]
        clusters = dict(zip(labels[largest].tolist(), sizes[largest].tolist(), strict=True))
        return NearResult(removals, counts, clusters, self._nearest[self._nearest > 0])


def _buckets(signatures: np.ndarray, bands: int, rows: int) -> np.ndarray:
    """Return the number of each document's bucket of each band, (n, bands) int64."""
    n = len(signatures)
    numbers = np.empty((n, bands), np.int64)
    for band in range(bands):
        _, numbers[:, band] = np.unique(band_keys(signatures, band * rows, rows), return_inverse=True)
    numbers += np.arange(bands) * n
    return numbers
