"""The n-grams of all test items in arrays: which n-grams are sought, and which items hold each of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data_pipeline.decontaminate.kernels import Table, find_ngrams, hash_ngrams
from data_pipeline.decontaminate.testsets import TestItem
from data_pipeline.decontaminate.words import word_hashes


@dataclass(frozen=True, slots=True)
class NGramIndex:
    """What judges documents. Arrays and names only, so it travels to workers.

    Attributes:
        table: the n-grams' hashes; an n-gram's number is its place there.
        lengths: (l,) int64, the lengths of n-grams in words that occur: n, and those of shorter items.
        item_starts: (g + 1,) int64.
        items: (p,) int32: n-gram g is held by items[item_starts[g] : item_starts[g + 1]].
        names: of the items, `<set>#<item>`.
        num_too_short: items of too few words to be sought; no document is ever removed for them.
        classes: (0x110000,) uint8, words.char_classes().
    """

    table: Table
    lengths: np.ndarray
    item_starts: np.ndarray
    items: np.ndarray
    names: list[str]
    num_too_short: int
    classes: np.ndarray

    @property
    def num_ngrams(self) -> int:
        """Number of different n-grams."""
        return len(self.table.hashes)

    def find(self, text: str) -> np.ndarray:
        """Return the numbers of the n-grams that a text holds, (m,) int64, ascending, each once."""
        hashes = word_hashes(text, self.classes)
        return np.unique(find_ngrams(hashes, self.lengths, self.table))

    def items_of(self, ngrams: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the items that hold any of these n-grams, ascending, and how many of them each holds, (m,) each."""
        sizes = self.item_starts[ngrams + 1] - self.item_starts[ngrams]
        firsts = np.repeat(self.item_starts[ngrams] - (np.cumsum(sizes) - sizes), sizes)
        return np.unique(self.items[firsts + np.arange(len(firsts))], return_counts=True)

    def item_sizes(self, counting: np.ndarray) -> np.ndarray:
        """Return how many n-grams each item has of those that count, (num_items,) int64.

        Args:
            counting: (num_ngrams,) bool.
        """
        counts = np.repeat(counting, np.diff(self.item_starts))
        return np.bincount(self.items[counts], minlength=len(self.names))


def build_index(items: list[TestItem], n: int, min_words: int, classes: np.ndarray) -> NGramIndex:
    """Index the items' n-grams.

    Args:
        n: words per n-gram. An item of fewer words is one n-gram of its own length.
        min_words: an item of fewer words isn't sought.
        classes: words.char_classes().
    """
    lengths, hashes = _item_ngrams(items, n, min_words, classes)
    sizes = np.array([len(part) for part in hashes], np.int64)
    all_hashes = np.concatenate([np.zeros(0, np.uint64), *hashes])
    unique, places, counts = np.unique(all_hashes, return_inverse=True, return_counts=True)
    holders = np.repeat(np.arange(len(items), dtype=np.int32), sizes)[np.argsort(places, kind="stable")]
    item_starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    names = [item.name for item in items]
    return NGramIndex(_table(unique), lengths, item_starts, holders, names, int((sizes == 0).sum()), classes)


def _item_ngrams(
    items: list[TestItem], n: int, min_words: int, classes: np.ndarray
) -> tuple[np.ndarray, list[np.ndarray]]:
    lengths, hashes = set(), []
    for item in items:
        words = word_hashes(item.text, classes)
        if len(words) < min_words:
            hashes.append(np.zeros(0, np.uint64))
            continue
        length = min(n, len(words))
        lengths.add(length)
        hashes.append(np.unique(hash_ngrams(words, length)))
    return np.array(sorted(lengths), np.int64), hashes


def _table(hashes: np.ndarray) -> Table:
    bits = max(1, len(hashes).bit_length())
    firsts = np.arange(2**bits, dtype=np.uint64) << np.uint64(64 - bits)
    starts = np.append(np.searchsorted(hashes, firsts), len(hashes)).astype(np.int64)
    return Table(hashes, starts, np.uint64(64 - bits))
