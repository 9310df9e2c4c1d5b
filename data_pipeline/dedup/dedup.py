"""The seat of deduplication: what is measured of each document in a worker, and what is decided over all of them."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from data_pipeline.dedup.bands import Clusters, Rows
from data_pipeline.dedup.corpus import Corpus
from data_pipeline.dedup.keep import KeepOrder
from data_pipeline.dedup.planted import SelfTest
from data_pipeline.dedup.signing import Signing
from data_pipeline.documents import Removals
from foundation.errors import require


@dataclass(frozen=True, slots=True)
class Features:
    """What deduplication knows of n documents, row i of document i. Arrays where they were just made, and travel; later
    they may lie on disk, and what reads them stands in their place.

    Attributes:
        word_hashes: (n, 2) uint64, the two halves of the xxh3-128 of the document's words; see dedup.exact.
        num_chars: (n,) int64, code points of the text.
        signatures: (n, num_perm) uint32 MinHash; num_perm is 0 where no near-duplicates are sought.
    """

    word_hashes: Rows
    num_chars: Rows
    signatures: Rows

    def __len__(self) -> int:
        return len(self.num_chars)


@dataclass(frozen=True, slots=True)
class NearResult:
    """What the search for near-duplicates found.

    Attributes:
        removals: each with its kept witness and the measured similarity.
        clusters: of all documents that candidate pairs connect, also where all stay; None: of the removals alone.
        counts: for reports: candidate_documents, clusters (of documents that candidate pairs connect, similar or
            not), largest_cluster, pairs_verified (compared exactly),
            pairs_below_threshold (of these, not similar), pairs_ruled_out (not compared: signatures too different).
        nearest: (k,) float64, of documents that bands connect with a kept one and that stay all the same: how similar
            they are to the one whose signature is most like theirs.
    """

    removals: Removals
    clusters: Clusters | None = None
    counts: dict[str, int] = field(default_factory=dict)
    nearest: np.ndarray = field(default_factory=lambda: np.zeros(0))


class Dedup(ABC):
    """Which documents are copies of which. `features` runs in workers; `exact` and `near` see the whole corpus.

    Attributes:
        seeks_exact: whether `exact` is to be asked.
        seeks_near: whether `near` is to be asked. Where it seeks neither, no document is measured.
        near_alone: arguments that `near` alone depends on: another value of these measures no document again. An
            argument that is not named here counts for everything.
        order: which document stays; the stages make a `preference` of each document of it.
        order_alone: arguments that say which document stays, for `exact` as well, and change nothing that is measured.
        files_alone: arguments that say which files are read and written: no result depends on their names.
        limits: arguments that say where a run is stopped, or how much memory it takes: no result depends on them.
        max_cluster: a larger `largest_cluster` among the counts of `near` stops the run.
        max_loss_frac: a source that loses a larger share of its documents to `exact` and `near` stops the run.
        signing: how signatures are made; None where there are none.
        signatures: files of stored ones. They are taken where they are known, and then not `features` but `unsigned`
            and `sign` are asked.
        save_signatures: whether signatures are an output.
    """

    seeks_exact = True
    seeks_near = True
    near_alone: frozenset[str] = frozenset()
    order = KeepOrder("first")
    order_alone: frozenset[str] = frozenset()
    files_alone = frozenset({"signatures", "save_signatures"})
    limits: frozenset[str] = frozenset()
    max_cluster = sys.maxsize
    max_loss_frac = 1.0
    signing: Signing | None = None
    signatures: tuple[str, ...] = ()
    save_signatures = False

    @abstractmethod
    def features(self, texts: pa.LargeStringArray) -> Features:
        """Return the features of these documents. Pure: the same texts give the same arrays in any process."""

    def unsigned(self, texts: pa.LargeStringArray) -> Features:
        """Return the features but for the signatures, which have no values; cheaper where signing can be left out."""
        return replace(self.features(texts), signatures=np.zeros((len(texts), 0), np.uint32))

    def sign(self, texts: pa.LargeStringArray) -> np.ndarray:
        """Return the signatures that `features` holds, (n, num_perm) uint32."""
        return self.features(texts).signatures[:]

    @abstractmethod
    def exact(self, features: list[Features], preference: np.ndarray | None = None) -> Removals:
        """Return the documents whose words equal those of a kept document, each with that one.

        Args:
            features: of the whole corpus, in its order; positions count through them.
            preference: (n,) float64, what `order` goes by of each document, the lowest first; None where it goes by
                lengths and positions alone.
        """

    @abstractmethod
    def near(self, features: list[Features], corpus: Corpus, preference: np.ndarray | None = None) -> NearResult:
        """Return the documents that are verified near-duplicates of a kept one; shows its progress.

        Args:
            features: of the documents that `exact` left, in corpus order; positions count through them.
            corpus: these documents.
            preference: as for `exact`.
        Raises:
            TooMuchAlike: more than was allowed; see dedup.guards.
        """

    def test_on(self, texts: list[str]) -> SelfTest | None:
        """Plant near-duplicates in a sample of the corpus, seek them, and return how they fared.

        None where there is nothing to test, or too little text to plant in. Deterministic; changes nothing.
        """
        return None

    def describe(self) -> str:
        """Return what the page shows of this choice, e.g. the S-curve; empty when there is nothing to say.

        Its first line says it in short: a run prints it.
        """
        return ""


class NoDedup(Dedup):
    """Every document stays."""

    seeks_exact = False
    seeks_near = False

    def features(self, texts: pa.LargeStringArray) -> Features:
        n = len(texts)
        return Features(np.zeros((n, 2), np.uint64), np.zeros(n, np.int64), np.zeros((n, 0), np.uint32))

    def exact(self, features: list[Features], preference: np.ndarray | None = None) -> Removals:
        return none_of("exact_duplicate")

    def near(self, features: list[Features], corpus: Corpus, preference: np.ndarray | None = None) -> NearResult:
        return NearResult(none_of("near_duplicate"))


def none_of(reason: str) -> Removals:
    """Return no removals."""
    return Removals(reason, np.zeros(0, np.int64), kept=np.zeros(0, np.int64), similarity=np.zeros(0))


def clusters_of(removals: Removals) -> Clusters:
    """Return the documents that go for another and those that stay in their place, by cluster."""
    assert removals.kept is not None
    labels = removals.kept if removals.cluster is None else removals.cluster
    documents, firsts = np.unique(np.concatenate([removals.positions, removals.kept]), return_index=True)
    return Clusters(documents, np.concatenate([labels, labels])[firsts])


def checked_loss(max_loss_frac: float) -> float:
    """Return a limit of `Dedup.max_loss_frac`; raises SettingError where it is no share."""
    require(0 <= max_loss_frac <= 1, "max_loss_frac", max_loss_frac, "a share from 0 to 1; 0.95 is usual")
    return max_loss_frac
