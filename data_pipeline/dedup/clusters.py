"""From candidates to removals: a document goes only when a kept one is verified similar to it, and that one is named.

Chains of candidates glue what is not alike (marin-community/marin#6851: an unverified component took a source from
859,092 documents to 2), so a component is no verdict: it is only where documents have to be compared at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from data_pipeline.dedup.bands import Clusters, bucket_numbers
from data_pipeline.dedup.dedup import NearResult
from data_pipeline.dedup.greedy import KEPT, Block, Likeness, Verdicts, judge
from data_pipeline.dedup.sets import NO_SETS, AnySets, Sets, num_shingles, sets_at
from data_pipeline.documents import Removals
from foundation.progress import Meter

BLOCK_SHINGLES = 1 << 23  # whose sets are compared at a time: 64 MiB
DOC_SHINGLES = 1 << 6  # that a document counts for at least: signature and bands of one of a short text take about 2 KB

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
    threads: int = 1,
    block_shingles: int = BLOCK_SHINGLES,
    doc_shingles: int = DOC_SHINGLES,
) -> NearResult:
    """Judge all candidates. The result depends on nothing but the documents and the settings.

    Args:
        ranked: the candidates.
        parts: their shingle sets by ascending position, laid end to end.
        progress: receives every candidate once.
        threads: that judge clusters at the same time.
        block_shingles: of sets that are read at a time. In memory are the sets and signatures of one block and of the
            documents kept so far in the cluster that is being judged.
        doc_shingles: that a document counts for at least: its signature and its bands take room, too.
    """
    with ThreadPoolExecutor(threads) as pool:
        judging = _Judging(ranked, comparison, pool, threads)
        sizes = np.maximum(num_shingles(parts)[ranked.places], doc_shingles)
        for start, stop in _blocks(sizes, block_shingles):
            judging.block(start, stop, parts, signatures(ranked.documents[start:stop]))
            progress.add(stop - start)
    return judging.result()


def _blocks(sizes: np.ndarray, block_shingles: int) -> Iterator[tuple[int, int]]:
    """Cut ranks into runs of at most `block_shingles`, one larger document excepted."""
    ends = np.cumsum(sizes)
    start = 0
    while start < len(sizes):
        before = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, before + block_shingles, side="right")), start + 1)
        yield start, stop
        start = stop


class _Judging:
    """Walks the ranks block by block; holds sets and signatures of kept ones that later ones may be compared with."""

    def __init__(self, ranked: Ranked, comparison: Comparison, pool: ThreadPoolExecutor, threads: int) -> None:
        k = len(ranked.documents)
        self._ranked, self._comparison, self._pool, self._threads = ranked, comparison, pool, threads
        self._witness, self._similarity = np.full(k, KEPT, np.int64), np.zeros(k)
        self._nearest, self._tally = np.zeros(k), np.zeros(3, np.int64)
        self._carried = np.zeros(0, np.int64)  # ranks whose sets and signatures are held
        self._sets = NO_SETS
        self._signatures: np.ndarray | None = None

    def block(self, start: int, stop: int, parts: Sequence[AnySets], signatures: np.ndarray) -> None:
        """Judge the ranks from `start` to before `stop`, whose signatures these are.

        Args:
            parts: the shingle sets of all candidates by ascending position, laid end to end.
        """
        ranks = np.concatenate([self._carried, np.arange(start, stop)])
        sets, signatures = self._with_carried(parts, self._ranked.places[start:stop], signatures)
        witness, similarity, nearest = self._judge(self._ranked.clusters[ranks], sets, signatures)
        removed = np.flatnonzero(witness != KEPT)
        self._witness[ranks[removed]] = ranks[witness[removed]]
        self._similarity[ranks[removed]] = similarity[removed]
        self._nearest[start:stop] = nearest[len(self._carried) :]
        # what is kept of the last cluster, which may go on
        is_open = self._ranked.clusters[ranks] == self._ranked.clusters[stop - 1]
        carried = np.flatnonzero(is_open & (witness == KEPT))
        self._carried, self._sets = ranks[carried], sets_at([sets], carried)
        self._signatures = signatures[carried]

    def _with_carried(
        self, parts: Sequence[AnySets], places: np.ndarray, signatures: np.ndarray
    ) -> tuple[Sets, np.ndarray]:
        """Return those of the carried documents and of more; what was held is let go, it may be gigabytes."""
        held = len(self._carried)
        sets = sets_at([self._sets, *parts], np.concatenate([np.arange(held), held + places]))
        if self._signatures is not None:
            signatures = np.concatenate([self._signatures, signatures])
        self._sets, self._signatures = NO_SETS, None
        return sets, signatures

    def _judge(self, clusters: np.ndarray, sets: Sets, signatures: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return witness, similarity and nearest of each document of a block; whole clusters go to each thread.

        Args:
            clusters: (n,) int64, ascending runs; those of the carried documents first.
        """

        def judged(cut: tuple[int, int]) -> Verdicts:
            first, stop = cut
            mine = signatures[first:stop]
            buckets = bucket_numbers(mine, self._comparison.bands, self._comparison.rows)
            block = Block(buckets, sets.hashes, sets.starts[first : stop + 1], mine)
            return judge(block, len(self._carried) if first == 0 else 0, self._comparison.likeness)

        cuts = _cuts(clusters, 4 * self._threads if self._threads > 1 else 1)
        found = list(self._pool.map(judged, cuts))
        self._tally += sum(verdicts.tally for verdicts in found)
        firsts = [first for first, _ in cuts]
        witness = [np.where(v.witness == KEPT, KEPT, v.witness + first) for v, first in zip(found, firsts, strict=True)]
        columns = (witness, [v.similarity for v in found], [v.nearest for v in found])
        return tuple(np.concatenate(column) for column in columns)

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


def _cuts(clusters: np.ndarray, parts: int) -> list[tuple[int, int]]:
    """Return about so many runs of whole clusters, of about one length: the first document, and the one behind."""
    borders = np.flatnonzero(np.append(clusters[1:] != clusters[:-1], True)) + 1  # where a cluster ends
    wanted = np.arange(1, parts + 1) * len(clusters) // parts
    ends = np.unique(borders[np.searchsorted(borders, wanted)])
    return list(pairwise([0, *ends.tolist()]))
