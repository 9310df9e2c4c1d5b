"""From candidates to removals: a document goes only when a kept one is verified similar to it, and that one is named.

Chains of candidates glue what is not alike (marin-community/marin#6851: an unverified component took a source from
859,092 documents to 2), so a component is no verdict: it is only where documents have to be compared at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from data_pipeline.dedup.bands import Clusters, band_keys
from data_pipeline.dedup.dedup import NearResult
from data_pipeline.dedup.greedy import KEPT, Block, Likeness, judge
from data_pipeline.dedup.sets import AnySets, Sets, joined, num_shingles, sets_at
from data_pipeline.documents import Removals
from foundation.progress import Meter

BLOCK_SHINGLES = 1 << 23  # whose sets are compared at a time: 64 MiB
BLOCK_DOCS = 1 << 17  # the same for short texts: signatures and bands of a document take 2 KB

Signatures = Callable[[np.ndarray], np.ndarray]  # of documents by (m,) int64 positions: (m, num_perm) uint32


@dataclass(frozen=True, slots=True)
class Comparison:
    """How documents are compared.

    Attributes:
        likeness: when one goes.
        bands, rows: who is compared with whom.
    """

    likeness: Likeness
    bands: int
    rows: int


@dataclass(frozen=True, slots=True)
class Ranked:
    """The candidates in the order they are judged: cluster after cluster, each in keep order. A rank counts through it.

    Attributes:
        places: (k,) int64, of each rank the place among the candidates by ascending position.
        documents: (k,) int64 positions, by rank.
        clusters: (k,) int64, by rank.
    """

    places: np.ndarray
    documents: np.ndarray
    clusters: np.ndarray


def keep_order(found: Clusters, lengths: np.ndarray | None, preference: np.ndarray | None = None) -> Ranked:
    """Return candidates in the order they are judged: of a cluster the lowest preference first, of equals the longest.

    Args:
        lengths: (k,) of every candidate; None: it does not count.
        preference: (n,) of every document of the corpus; None: it does not count.
    """
    documents, clusters = found
    keys = [documents]
    keys += [] if lengths is None else [-lengths]
    keys += [] if preference is None else [preference[documents]]
    order = np.lexsort((*keys, clusters))
    return Ranked(order, documents[order], clusters[order])


def verify(
    ranked: Ranked,
    parts: Sequence[AnySets],
    signatures: Signatures,
    comparison: Comparison,
    progress: Meter,
    block_shingles: int = BLOCK_SHINGLES,
) -> NearResult:
    """Judge all candidates. The result depends on nothing but the documents and the settings.

    Args:
        ranked: the candidates.
        parts: their shingle sets by ascending position, laid end to end.
        progress: receives every candidate once.
        block_shingles: of sets that are read at a time. In memory are the sets and signatures of one block and of the
            documents kept so far in the cluster that is being judged.
    """
    judging = _Judging(ranked, comparison)
    for start, stop in _blocks(num_shingles(parts)[ranked.places], block_shingles):
        sets = sets_at(parts, ranked.places[start:stop])
        judging.block(start, stop, sets, signatures(ranked.documents[start:stop]))
        progress.add(stop - start)
    return judging.result()


def _blocks(sizes: np.ndarray, block_shingles: int) -> Iterator[tuple[int, int]]:
    """Cut ranks into runs of at most `block_shingles` (one larger document excepted) and at most BLOCK_DOCS."""
    ends = np.cumsum(sizes)
    start = 0
    while start < len(sizes):
        before = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, before + block_shingles, side="right")), start + 1)
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
        self._sets = Sets(np.zeros(0, np.uint64), np.zeros(1, np.int64))
        self._signatures: np.ndarray | None = None

    def block(self, start: int, stop: int, sets: Sets, signatures: np.ndarray) -> None:
        """Judge the ranks from `start` to before `stop`, whose shingle sets and signatures these are."""
        ranks = np.concatenate([self._carried, np.arange(start, stop)])
        sets = joined(self._sets, sets)
        if self._signatures is not None:
            signatures = np.concatenate([self._signatures, signatures])
        buckets = _buckets(signatures, self._comparison.bands, self._comparison.rows)
        block = Block(buckets, sets.hashes, sets.starts, signatures)
        verdicts = judge(block, len(self._carried), self._comparison.likeness)
        removed = np.flatnonzero(verdicts.witness != KEPT)
        self._witness[ranks[removed]] = ranks[verdicts.witness[removed]]
        self._similarity[ranks[removed]] = verdicts.similarity[removed]
        self._nearest[start:stop] = verdicts.nearest[len(self._carried) :]
        self._tally += verdicts.tally
        # what is kept of the last cluster, which may go on
        is_open = self._ranked.clusters[ranks] == self._ranked.clusters[stop - 1]
        carried = np.flatnonzero(is_open & (verdicts.witness == KEPT))
        self._carried, self._sets = ranks[carried], sets_at([sets], carried)
        self._signatures = signatures[carried]

    def result(self) -> NearResult:
        """Return what was decided of all ranks."""
        ranked, limit = self._ranked, self._comparison.likeness.threshold
        ranks = np.flatnonzero(self._witness != KEPT)
        ranks = ranks[np.argsort(ranked.documents[ranks])]
        alike = self._similarity[ranks]
        removals = Removals(
            "near_duplicate",
            ranked.documents[ranks],
            limit,
            value=alike,
            kept=ranked.documents[self._witness[ranks]],
            similarity=alike,
            cluster=ranked.clusters[ranks],
        )
        order = np.argsort(ranked.documents)
        clusters = Clusters(ranked.documents[order], ranked.clusters[order])
        _, sizes = np.unique(ranked.clusters, return_counts=True)
        counts = {
            "candidate_documents": len(ranked.documents),
            "clusters": len(sizes),
            "largest_cluster": int(sizes.max(initial=0)),
            "pairs_verified": int(self._tally[0]),
            "pairs_below_threshold": int(self._tally[1]),
            "pairs_ruled_out": int(self._tally[2]),
        }
        return NearResult(removals, clusters, counts, self._nearest[self._nearest > 0])


def _buckets(signatures: np.ndarray, bands: int, rows: int) -> np.ndarray:
    """Return the number of each document's bucket of each band, (n, bands) int64."""
    n = len(signatures)
    numbers = np.empty((n, bands), np.int64)
    for band in range(bands):
        _, numbers[:, band] = np.unique(band_keys(signatures, band * rows, rows), return_inverse=True)
    numbers += np.arange(bands) * n
    return numbers
