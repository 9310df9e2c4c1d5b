"""The seat of `decontaminate=`: which documents hold a test item."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import pyarrow as pa

from data_pipeline.decontaminate.index import NGramIndex, build_index
from data_pipeline.decontaminate.testsets import TestItem
from data_pipeline.documents import Removal


class Decontaminator(ABC):
    """Which documents hold a test item. The index is built once; what takes texts runs in workers, by partition.

    Attributes:
        seeks: whether anything is sought; else no text is read, not even of the held-out documents.
        judge_alone: arguments that `judge` and `counts` alone depend on: another value of these counts no n-gram again.
            An argument that is not named here counts for everything.
    """

    seeks = True
    judge_alone: frozenset[str] = frozenset()

    @abstractmethod
    def test_items(self) -> list[TestItem]:
        """Read the test sets. The caller adds the held-out documents as items of the set `held_out`."""

    @abstractmethod
    def build(self, items: list[TestItem]) -> NGramIndex:
        """Return the index of all items."""

    @abstractmethod
    def document_frequencies(self, index: NGramIndex, texts: pa.LargeStringArray) -> np.ndarray:
        """Return in how many of these documents each n-gram occurs, (num_ngrams,) int64; partitions add up."""

    @abstractmethod
    def judge(self, index: NGramIndex, document_frequencies: np.ndarray, texts: pa.LargeStringArray) -> list[Removal]:
        """Return the documents that hold a test item, by ascending position in `texts`.

        Args:
            document_frequencies: (num_ngrams,) int64, over the whole corpus that is judged.
        """

    @abstractmethod
    def counts(self, index: NGramIndex, document_frequencies: np.ndarray) -> dict[str, int]:
        """Return numbers for reports, by name: what was sought and what could not be.

        Args:
            document_frequencies: as of `judge`.
        """


class NoDecontaminate(Decontaminator):
    """Every document stays."""

    seeks = False

    def test_items(self) -> list[TestItem]:
        return []

    def build(self, items: list[TestItem]) -> NGramIndex:
        return build_index([], 1, 1, np.zeros(0x110000, np.uint8))

    def document_frequencies(self, index: NGramIndex, texts: pa.LargeStringArray) -> np.ndarray:
        return np.zeros(0, np.int64)

    def judge(self, index: NGramIndex, document_frequencies: np.ndarray, texts: pa.LargeStringArray) -> list[Removal]:
        return []

    def counts(self, index: NGramIndex, document_frequencies: np.ndarray) -> dict[str, int]:
        return {}
