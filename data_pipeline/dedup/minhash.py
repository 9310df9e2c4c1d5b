"""Near-duplicate removal: exact duplicates, then MinHash signatures, bands, and an exact check of every candidate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Literal

import numpy as np
import pyarrow as pa

from data_pipeline.dedup.bands import Clusters, find_clusters, rows_at
from data_pipeline.dedup.clusters import BLOCK_SHINGLES, DOC_SHINGLES, Comparison, keep_order, verify
from data_pipeline.dedup.corpus import Corpus, MakeSets, TextsInMemory
from data_pipeline.dedup.dedup import Dedup, Features, NearResult, checked_loss, none_of
from data_pipeline.dedup.exact import (
    MEMORY_BYTES,
    checked_memory,
    count_chars,
    hash_of_words,
    hashes_array,
    remove_exact,
    unsigned_features,
)
from data_pipeline.dedup.greedy import Likeness
from data_pipeline.dedup.guards import check_clusters
from data_pipeline.dedup.keep import ARGUMENTS, Keep, KeepOrder
from data_pipeline.dedup.lsh import SCurve, checked_bands, describe_bands, min_equal_values
from data_pipeline.dedup.planted import MIN_PAIRS, SelfTest, containment, jaccard, judge_planted, plant
from data_pipeline.dedup.sets import AnySets, num_shingles, shingle_sets
from data_pipeline.dedup.signatures import SIGNERS, Engine
from data_pipeline.dedup.signing import Signing
from data_pipeline.dedup.words import join_words
from data_pipeline.documents import Removals
from foundation.errors import require
from foundation.progress import Meter, Silent, progress

Rule = Literal["jaccard", "containment"]
MAX_PERM = 4096
_BYTES_A_BAND = 16  # of a document that is compared: its bucket's number, and what finding that takes
BLOCK_BYTES_A_SHINGLE = 32  # of a document that is compared: its shingles, its signature, its bands


class MinHash(Dedup):
    """Removes exact and near-duplicates.

    Args:
        threshold: similarity of two documents' shingle sets, in (0, 1], from which one of them goes.
        rule: what similarity is: `jaccard`, of both sets the shared part; `containment`, of the removed document's
            shingles the part that the kept one holds, which must have as many or more. Bands find pairs by their
            Jaccard similarity: those chosen find two documents of one length, t / (2 - t) at a containment of t; a part
            of a much longer document takes bands of fewer rows, such as 64 of 2.
        num_perm: 32-bit values per signature, at most MAX_PERM, of which an estimate has a standard error below 0.01.
        ngram: words per shingle.
        bands: groups that a signature is cut into; None chooses bands and rows (lsh.choose_bands).
        rows: values per band; set both or none.
        seed: of the permutations; 1 is datasketch's default.
        keep: which document stays: `longest`; `first` in corpus order; `newest`, `oldest` or highest `score`, by
            `keep_field`; `source`, by `keep_sources`. By `containment` no shorter document is kept for a longer one,
            whatever this says; both stay, and `longest` counts shingles.
        keep_field: field of the metadata: a number, for `newest` and `oldest` also a date as ISO 8601 writes it. A
            document without it goes before any that has it.
        keep_sources: names of all sources, that which stays first.
        engine: how signatures are made: `fast`, of the 64-bit hashes that verification compares by; `compatible`, every
            value equal to datasketch's (scheme affine32, SHA-1); `datasketch`, by that library itself.
        memory_bytes: for the bands: 8 bytes a document and band, and 24 a document and thread. Where that is more, the
            bands' keys lie on disk, and a band is looked at in parts. For exact copies before: 80 a document; with less
            their hashes are read more often. Where it is under 256 MiB, fewer documents are compared at a time as well.
            It changes no result.
        max_cluster: documents that bands may connect; more stop the run. The kept ones of a cluster are in memory
            together, about 8 GB for a million of 500 words. Clusters of 10^5 copies are usual in web crawls.
        max_loss_frac: share of a source's documents that may go as duplicates, exact and near ones together; more, and
            100 or more, stop the run. Whole crawls lost up to 90 % to earlier ones; what is known of wipe-outs by
            mistake lost 97 % and more.
        signatures: parquet files, or patterns of them, of signatures to take instead of signing: an earlier run's
            `signatures/`, or tables of `id` and `signature`; see stages.stored.
        save_signatures: whether the signature of every cleaned document is written to `signatures/`.
    Raises:
        SettingError: a value that can't work.
    """

    near_alone = frozenset({"threshold", "rule", "bands", "rows"})
    order_alone = ARGUMENTS
    limits = frozenset({"max_loss_frac", "max_cluster", "memory_bytes"})

    def __init__(
        self,
        threshold: float = 0.8,
        rule: Rule = "jaccard",
        num_perm: int = 128,
        ngram: int = 5,
        bands: int | None = None,
        rows: int | None = None,
        seed: int = 1,
        keep: Keep = "longest",
        keep_field: str | None = None,
        keep_sources: list[str] | None = None,
        engine: Engine = "fast",
        memory_bytes: int = MEMORY_BYTES,
        max_cluster: int = 1_000_000,
        max_loss_frac: float = 0.95,
        signatures: list[str] | None = None,
        save_signatures: bool = False,
    ) -> None:
        allowed = "a number above 0 and up to 1; 0.8 is usual, 1 removes equal sets only"
        require(0 < threshold <= 1, "threshold", threshold, allowed)
        require(1 <= num_perm <= MAX_PERM, "num_perm", num_perm, f"1 to {MAX_PERM}; 128 is usual")
        require(ngram >= 1, "ngram", ngram, "1 or more; 5 is usual")
        require(0 <= seed < 2**32, "seed", seed, "a number from 0 to below 2^32")
        require(max_cluster >= 2, "max_cluster", max_cluster, "2 or more documents; 1000000 is usual")
        self.memory_bytes, self.max_cluster = checked_memory(memory_bytes), max_cluster
        self.max_loss_frac = checked_loss(max_loss_frac)
        self.order = KeepOrder(keep, keep_field, keep_sources)
        self.threshold, self.rule, self.num_perm, self.ngram, self.seed = threshold, rule, num_perm, ngram, seed
        self.engine: Engine = engine
        self.signing = Signing(engine, num_perm, seed, ngram)
        require(all(signatures or []), "signatures", signatures, "files or patterns, e.g. '[old/*.parquet]'")
        self.signatures, self.save_signatures = tuple(signatures or ()), save_signatures
        # the Jaccard similarity of two documents of one length at the threshold: what bands have to find
        self._sought = threshold / (2 - threshold) if rule == "containment" else threshold
        self.bands, self.rows = checked_bands(self._sought, num_perm, bands, rows)

    def features(self, texts: pa.LargeStringArray) -> Features:
        signatures = np.empty((len(texts), self.num_perm), np.uint32)
        hashes = []
        for row, (words, signature) in enumerate(self._signed(texts)):
            hashes.append(hash_of_words(words))
            signatures[row] = signature
        return Features(hashes_array(hashes), count_chars(texts), signatures)

    def unsigned(self, texts: pa.LargeStringArray) -> Features:
        return unsigned_features(texts)

    def sign(self, texts: pa.LargeStringArray) -> np.ndarray:
        row = np.dtype((np.uint32, self.num_perm))
        return np.fromiter((signature for _, signature in self._signed(texts)), row, len(texts))

    def _signed(self, texts: pa.LargeStringArray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the joined words of each text and its signature, (num_perm,) uint32."""
        signer = SIGNERS[self.engine](self.num_perm, self.seed, self.ngram)
        for words in join_words(texts):
            yield words, signer.sign(words)

    def exact(self, features: list[Features], preference: np.ndarray | None = None) -> Removals:
        return remove_exact(features, preference, self.memory_bytes)

    def near(self, features: list[Features], corpus: Corpus, preference: np.ndarray | None = None) -> NearResult:
        num_docs = sum(map(len, features))
        if not num_docs:
            return NearResult(none_of("near_duplicate"))
        with progress("bands", unit="keys") as meter:
            found = self._clusters(features, corpus, meter)
        check_clusters(found, num_docs, self.max_cluster, corpus.texts_at)
        sets = corpus.sets_at(found.documents, self._make_sets)
        with progress("near", num_docs, "docs") as meter:
            meter.add(num_docs - len(found.documents))
            return self._verified(found, sets, features, preference, meter, corpus.threads)

    def _clusters(self, features: list[Features], corpus: Corpus, meter: Meter) -> Clusters:
        parts = [part.signatures for part in features]
        memory, threads = self.memory_bytes, corpus.threads
        return find_clusters(parts, self.bands, self.rows, memory, meter, threads, corpus.on_disk)

    @property
    def _make_sets(self) -> MakeSets:
        return partial(shingle_sets, ngram=self.ngram)

    def _verified(
        self,
        found: Clusters,
        sets: Sequence[AnySets],
        features: list[Features],
        preference: np.ndarray | None,
        meter: Meter,
        threads: int = 1,
    ) -> NearResult:
        signatures = [part.signatures for part in features]
        likeness = Likeness(self.threshold, self.rule == "containment", self._min_equal())
        comparison = Comparison(likeness, self.bands, self.rows)
        ranked = keep_order(found, self._lengths(found, sets, features), preference)
        block_shingles = min(BLOCK_SHINGLES, self.memory_bytes // BLOCK_BYTES_A_SHINGLE)
        doc_bytes = 4 * self.num_perm + _BYTES_A_BAND * self.bands
        doc_shingles = max(DOC_SHINGLES, doc_bytes // BLOCK_BYTES_A_SHINGLE)
        read = partial(rows_at, signatures)
        return verify(ranked, sets, read, comparison, meter, threads, block_shingles, doc_shingles)

    def _min_equal(self) -> np.ndarray:
        """Return `Likeness.min_equal`; by Jaccard the threshold is the least of every pair."""
        if self.rule == "jaccard":
            return np.full(101, min_equal_values(self.threshold, self.num_perm))
        return np.array([0, *(min_equal_values(least / 100, self.num_perm) for least in range(1, 101))])

    def _lengths(self, found: Clusters, sets: Sequence[AnySets], features: list[Features]) -> np.ndarray | None:
        """Return what `longest` goes by, (k,) int64 of every candidate; None where length does not count."""
        if self.order.keep == "first":
            return None
        if self.rule == "containment":  # by letters the one judged first may have fewer shingles, and both would stay
            return num_shingles(sets)
        return rows_at([part.num_chars for part in features], found.documents)

    def test_on(self, texts: list[str]) -> SelfTest | None:
        planted = plant(texts, self.ngram)
        if len(planted.pairs) < MIN_PAIRS:
            return None
        corpus, silent = TextsInMemory(planted.texts), Silent()
        features = [self.features(pa.array(planted.texts, pa.large_string()))]
        found = self._clusters(features, corpus, silent)
        sets = corpus.sets_at(found.documents, self._make_sets)
        result = self._verified(found, sets, features, None, silent)
        cluster_of = dict(zip(found.documents.tolist(), found.clusters.tolist(), strict=True))
        similarity = containment if self.rule == "containment" else jaccard
        curve = SCurve.of(self._sought, self.bands, self.rows)
        return judge_planted(planted, list(result.removals), cluster_of, similarity, self.threshold, curve)

    def describe(self) -> str:
        return describe_bands(self._sought, self.bands, self.rows, self.num_perm)
