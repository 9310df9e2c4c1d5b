"""What documents hold of test items, and what follows from it for both."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from data_pipeline.documents import Removal

# what is known of a test item; of these, only a clean one was sought and not found
CONTAMINATED, PARTIAL, CLEAN, TOO_SHORT, COMMON = "contaminated", "partial", "clean", "too_short", "common_phrases"
STATUSES = (CONTAMINATED, PARTIAL, CLEAN, TOO_SHORT, COMMON)


class Found(NamedTuple):
    """The n-grams of test items that documents hold, each once a document, by document.

    Attributes:
        documents, ngrams: (m,) int64.
    """

    documents: np.ndarray
    ngrams: np.ndarray


class Held(NamedTuple):
    """What documents hold of test items: a row for each document and item that have an n-gram in common, in order.

    Attributes:
        documents, items: (p,) int64.
        coverage: (p,) float64, of the item's words that lie in n-grams which count: the share that lies in those which
            the document holds.
        is_held: (p,) bool: whether the document holds so much that it goes.
    """

    documents: np.ndarray
    items: np.ndarray
    coverage: np.ndarray
    is_held: np.ndarray


def removed_rows(held: Held) -> np.ndarray:
    """Return, for each document that holds an item, the row of it: of several the one held most, then the first."""
    rows = np.flatnonzero(held.is_held)
    documents = held.documents[rows]
    order = np.lexsort((held.items[rows], -held.coverage[rows], documents))
    _, firsts = np.unique(documents[order], return_index=True)
    best: np.ndarray = rows[order[firsts]]
    return best


def removals(held: Held, rows: np.ndarray, names: list[str], min_coverage: float) -> list[Removal]:
    """Return why these documents go.

    Args:
        rows: removed_rows.
        names: of the item of each row.
    """
    columns = zip(held.documents[rows].tolist(), held.coverage[rows].tolist(), names, strict=True)
    return [
        Removal(at, "contaminated", value=coverage, threshold=min_coverage, test_item=name, coverage=coverage)
        for at, coverage, name in columns
    ]


class ItemCounts:
    """How much of each item the corpus holds; partitions add up.

    Attributes:
        coverage: (num_items,) float64, the most that one document holds.
        contaminated, partial: (num_items,) int64, documents that hold it, and that hold less of it.
    """

    def __init__(self, num_items: int) -> None:
        self.coverage = np.zeros(num_items)
        self.contaminated, self.partial = np.zeros(num_items, np.int64), np.zeros(num_items, np.int64)

    def add(self, held: Held) -> None:
        """Count what other documents hold."""
        np.maximum.at(self.coverage, held.items, held.coverage)
        np.add.at(self.contaminated, held.items[held.is_held], 1)
        np.add.at(self.partial, held.items[~held.is_held], 1)

    def statuses(self, is_sought: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Return the status of each item, (num_items,) int8, a place in STATUSES.

        Args:
            is_sought: (num_items,) bool.
            counts: (num_items,) bool: whether any n-gram of it counts.
        """
        return np.select(
            [~is_sought, ~counts, self.contaminated > 0, self.partial > 0],
            [np.int8(STATUSES.index(status)) for status in (TOO_SHORT, COMMON, CONTAMINATED, PARTIAL)],
            np.int8(STATUSES.index(CLEAN)),
        )
