"""The seat of `decontaminate=`: which documents hold a test item."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import pyarrow as pa

from data_pipeline.decontaminate.index import Counting, ItemWords, NGramIndex, build_index, laid_end_to_end
from data_pipeline.decontaminate.testsets import TestItem
from data_pipeline.decontaminate.verdicts import Found, Held


class Decontaminator(ABC):
    """Which documents hold a test item. The index is built once; what takes texts runs in workers, by partition.

    Attributes:
        seeks: whether anything is sought; else no text is read, not even of the held-out documents.
        min_coverage: share of an item, from which a document holds it.
        max_cuts: a document that holds one loses the sentences of it, and goes if that were more pieces than these.
            With 0 every such document goes.
        min_left_frac: such a document goes, too, if less than this share of its UTF-8 bytes were left.
        judge_alone: arguments that what follows from the n-grams found alone depends on: another value of these reads
            no text again. An argument that is not named here counts for everything.
    """

    seeks = True
    min_coverage = 1.0
    max_cuts = 0
    min_left_frac = 0.0
    judge_alone: frozenset[str] = frozenset()

    @abstractmethod
    def test_items(self) -> list[TestItem]:
        """Read the test sets. The caller adds the held-out documents as items of the set `held_out`."""

    @abstractmethod
    def build(self, words: ItemWords) -> NGramIndex:
        """Return the index of all items.

        Args:
            words: of the items.
        """

    @abstractmethod
    def find(self, index: NGramIndex, texts: pa.LargeStringArray) -> Found:
        """Return which n-grams each of these documents holds."""

    @abstractmethod
    def counting(self, index: NGramIndex, document_frequencies: np.ndarray) -> Counting:
        """Return which n-grams count.

        Args:
            document_frequencies: (num_ngrams,) int64, in how many documents of the corpus each occurs.
        """

    @abstractmethod
    def judge(self, index: NGramIndex, counting: Counting, found: Found) -> Held:
        """Return what these documents hold of each item."""


class NoDecontaminate(Decontaminator):
    """Every document stays."""

    seeks = False

    def test_items(self) -> list[TestItem]:
        return []

    def build(self, words: ItemWords) -> NGramIndex:
        return build_index(laid_end_to_end([]), 1, 1)

    def find(self, index: NGramIndex, texts: pa.LargeStringArray) -> Found:
        return Found(np.zeros(0, np.int64), np.zeros(0, np.int64))

    def counting(self, index: NGramIndex, document_frequencies: np.ndarray) -> Counting:
        return index.counting(np.zeros(len(document_frequencies), bool))

    def judge(self, index: NGramIndex, counting: Counting, found: Found) -> Held:
        return Held(found.documents, found.ngrams, np.zeros(0), np.zeros(0, bool))
