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
    """

    documents: np.ndarray
    items: np.ndarray
    coverage: np.ndarray


def removed_rows(held: Held, min_coverage: float) -> np.ndarray:
    """Return, for each document that holds an item, the row of it: of several the one held most, then the first.

    Args:
        min_coverage: from which a document holds an item.
    """
    order = np.lexsort((held.items, -held.coverage, held.documents))
    _, firsts = np.unique(held.documents[order], return_index=True)
    best = order[firsts]
    rows: np.ndarray = best[held.coverage[best] >= min_coverage]
    return rows


def removals(held: Held, rows: np.ndarray, names: list[str], min_coverage: float) -> list[Removal]:
    """Return why these documents go.

    Args:
        rows: removed_rows.
        names: of the items.
    """
    columns = zip(*(column[rows].tolist() for column in held), strict=True)
    return [
        Removal(at, "contaminated", value=coverage, threshold=min_coverage, test_item=names[item], coverage=coverage)
        for at, item, coverage in columns
    ]


class ItemCounts:
    """How much of each item the corpus holds; partitions add up.

    Attributes:
        coverage: (num_items,) float64, the most that one document holds.
        contaminated, partial: (num_items,) int64, documents that hold it, and that hold less of it.
    """

    def __init__(self, num_items: int, min_coverage: float) -> None:
        self._min_coverage = min_coverage
        self.coverage = np.zeros(num_items)
        self.contaminated, self.partial = np.zeros(num_items, np.int64), np.zeros(num_items, np.int64)

    def add(self, held: Held) -> None:
        """Count what other documents hold."""
        is_held = held.coverage >= self._min_coverage
        np.maximum.at(self.coverage, held.items, held.coverage)
        self.contaminated += np.bincount(held.items[is_held], minlength=len(self.coverage))
        self.partial += np.bincount(held.items[~is_held], minlength=len(self.coverage))

    def statuses(self, is_sought: np.ndarray, counts: np.ndarray) -> list[str]:
        """Return the status of each item.

        Args:
            is_sought: (num_items,) bool.
            counts: (num_items,) bool: whether any n-gram of it counts.
        """
        numbers = np.select(
            [~is_sought, ~counts, self.contaminated > 0, self.partial > 0],
            [STATUSES.index(status) for status in (TOO_SHORT, COMMON, CONTAMINATED, PARTIAL)],
            STATUSES.index(CLEAN),
        )
        return [STATUSES[number] for number in numbers.tolist()]
