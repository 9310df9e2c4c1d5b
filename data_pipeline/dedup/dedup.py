"""The seat of deduplication: what is measured of each document in a worker, and what is decided over all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from data_pipeline.dedup.bands import Rows
from data_pipeline.dedup.planted import SelfTest
from data_pipeline.documents import Removal
from foundation.errors import require
from foundation.progress import Meter


@dataclass(frozen=True, slots=True)
class Features:
    """What deduplication knows of n documents, row i of document i. Small beside the text; plain arrays, so it travels.

    Attributes:
        word_hashes: (n, 2) uint64, the two halves of the xxh3-128 of the document's words; see dedup.exact.
        num_chars: (n,) int64, code points of the text.
        signatures: (n, num_perm) uint32 MinHash; num_perm is 0 where no near-duplicates are sought. An array where they
            were just made; later they may lie on disk.
    """

    word_hashes: np.ndarray
    num_chars: np.ndarray
    signatures: Rows

    def __len__(self) -> int:
        return len(self.num_chars)


@dataclass(frozen=True, slots=True)
class NearResult:
    """What the search for near-duplicates found.

    Attributes:
        removals: by ascending position, each with its kept witness and the measured similarity.
        counts: for reports: candidate_documents, clusters (of documents that candidate pairs connect, similar or
            not), largest_cluster, pairs_verified (compared exactly),
            pairs_below_threshold (of these, not similar), pairs_ruled_out (not compared: signatures too different).
        largest: the largest clusters, the largest first: the number of a cluster -> its documents.
        nearest: (k,) float64, of documents that bands connect with a kept one and that stay all the same: how similar
            they are to the one whose signature is most like theirs.
    """

    removals: list[Removal]
    counts: dict[str, int] = field(default_factory=dict)
    largest: dict[int, int] = field(default_factory=dict)
    nearest: np.ndarray = field(default_factory=lambda: np.zeros(0))


class Dedup(ABC):
    """Which documents are copies of which. `features` runs in workers; `exact` and `near` see the whole corpus.

    Attributes:
        seeks_exact: whether `exact` is to be asked.
        seeks_near: whether `near` is to be asked. Where it seeks neither, no document is measured.
        near_alone: arguments that `near` alone depends on: another value of these measures no document again. An
            argument that is not named here counts for everything.
        order_alone: arguments that say which document stays, for `exact` as well, and change nothing that is measured.
        prefers: whether `preference` is to be asked.
        limits: arguments that only say where a run is stopped: no result depends on them.
        max_loss_frac: a source that loses a larger share of its documents to `exact` and `near` stops the run.
    """

    seeks_exact = True
    seeks_near = True
    near_alone: frozenset[str] = frozenset()
    order_alone: frozenset[str] = frozenset()
    prefers = False
    limits: frozenset[str] = frozenset()
    max_loss_frac = 1.0

    @abstractmethod
    def features(self, texts: pa.LargeStringArray) -> Features:
        """Return the features of these documents. Pure: the same texts give the same arrays in any process."""

    @abstractmethod
    def exact(self, features: list[Features], preference: np.ndarray | None = None) -> list[Removal]:
        """Return the documents whose words equal those of a kept document, by ascending position.

        Args:
            features: of the whole corpus, in its order; positions count through them.
            preference: (n,) float64, what `preference` gave of each document; None where it is not to be asked.
        """

    @abstractmethod
    def near(
        self,
        features: list[Features],
        texts_of: Callable[[np.ndarray], list[str]],
        progress: Meter,
        preference: np.ndarray | None = None,
    ) -> NearResult:
        """Return the documents that are verified near-duplicates of a kept one.

        Args:
            features: of the documents that `exact` left, in corpus order; positions count through them.
            texts_of: gives the texts at (m,) int64 positions; asked for candidates only, a bounded amount at a time.
            progress: receives every document once, in documents.
            preference: as for `exact`.
        Raises:
            TooMuchAlike: more than was allowed; see dedup.guards.
        """

    def preference(self, documents: pa.RecordBatch, source: str) -> np.ndarray:
        """Return which documents of a source are taken first, and so stay: (n,) float64, the lowest first.

        Raises:
            NoKeepValue: a document does not say it.
        """
        return np.zeros(len(documents))

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

    def exact(self, features: list[Features], preference: np.ndarray | None = None) -> list[Removal]:
        return []

    def near(
        self,
        features: list[Features],
        texts_of: Callable[[np.ndarray], list[str]],
        progress: Meter,
        preference: np.ndarray | None = None,
    ) -> NearResult:
        return no_near_duplicates(features, progress)


def no_near_duplicates(features: list[Features], progress: Meter) -> NearResult:
    """Return the result of a search that removes nothing."""
    progress.add(sum(map(len, features)))
    return NearResult([])


def checked_loss(max_loss_frac: float) -> float:
    """Return a limit of `Dedup.max_loss_frac`; raises SettingError where it is no share."""
    require(0 <= max_loss_frac <= 1, "max_loss_frac", max_loss_frac, "a share from 0 to 1; 0.95 is usual")
    return max_loss_frac
