"""The n-grams of all test items in arrays: which n-grams are sought, and which items hold each of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from data_pipeline.decontaminate.kernels import (
    GIVEN_UP,
    Hits,
    Points,
    Table,
    find_ngrams,
    hash_ngrams,
    hash_words,
    room_for_words,
)
from data_pipeline.decontaminate.points import folding_points, normal_points, segments
from data_pipeline.decontaminate.testsets import TestItem
from data_pipeline.decontaminate.words import normal
from data_pipeline.documents import SNIPPET_CHARS, utf8_buffers

_BITS_PER_ANCHOR = 4  # 2^4: one place in sixteen is looked at for nothing


@dataclass(frozen=True, slots=True)
class NGramIndex:
    """What judges documents. Arrays and names only, so it travels to workers.

    Attributes:
        table: the n-grams' hashes; an n-gram's number is its place there.
        item_starts: (g + 1,) int64.
        items: (p,) int32: n-gram g is held by items[item_starts[g] : item_starts[g + 1]].
        names: of the items, `<set>#<item>`.
        begins: of their texts, for evidence.
        num_too_short: items of too few words to be sought; no document is ever removed for them.
        points: folding_points().
    """

    table: Table
    item_starts: np.ndarray
    items: np.ndarray
    names: list[str]
    begins: list[str]
    num_too_short: int
    points: Points

    @property
    def num_ngrams(self) -> int:
        """Number of different n-grams."""
        return len(self.table.hashes)

    def find(self, texts: pa.LargeStringArray) -> Hits:
        """Return where documents hold n-grams, in their order; none is given up."""
        data, offsets = utf8_buffers(texts)
        words = room_for_words(int(np.diff(offsets).max(initial=0)))
        hits = find_ngrams(data, offsets, self.points, self.table, words)
        for document in np.flatnonzero(hits.given_up).tolist():
            hits = _inserted(hits, document, self._find_by_normal_form(texts[document].as_py()))
        return hits

    def _find_by_normal_form(self, text: str) -> Hits:
        data = np.frombuffer(normal(text).encode(), np.uint8)
        offsets = np.array([0, len(data)])
        offsets.flags.writeable = False  # as those of Arrow: for another kind of array kernels are compiled again
        hits = find_ngrams(data, offsets, normal_points(), self.table, room_for_words(len(data)))
        if not len(hits.ngrams):
            return hits
        parts = list(segments(text))
        stops = np.cumsum([len(normal(part).encode()) for part in parts])  # of each segment in the normal form
        in_text = np.cumsum([0, *(len(part.encode()) for part in parts)])
        first, last = np.searchsorted(stops, hits.starts, side="right"), np.searchsorted(stops, hits.ends)
        return hits._replace(starts=in_text[first], ends=in_text[last + 1])

    def items_of(self, ngrams: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return every item that holds one of these n-grams: (m,) places in `ngrams`, (m,) items."""
        sizes = self.item_starts[ngrams + 1] - self.item_starts[ngrams]
        firsts = np.repeat(self.item_starts[ngrams] - (np.cumsum(sizes) - sizes), sizes)
        return np.repeat(np.arange(len(ngrams)), sizes), self.items[firsts + np.arange(len(firsts))].astype(np.int64)

    def item_sizes(self, counting: np.ndarray) -> np.ndarray:
        """Return how many n-grams each item has of those that count, (num_items,) int64.

        Args:
            counting: (num_ngrams,) bool.
        """
        counts = np.repeat(counting, np.diff(self.item_starts))
        return np.bincount(self.items[counts], minlength=len(self.names))


def _inserted(hits: Hits, document: int, found: Hits) -> Hits:
    """Return hits with those of one document added at their place."""
    place = int(np.searchsorted(hits.documents, document))
    found = found._replace(documents=np.full(len(found.ngrams), document, np.int64))
    columns = [np.insert(mine, place, its) for mine, its in zip(hits[:4], found[:4], strict=True)]
    return Hits(columns[0], columns[1], columns[2], columns[3], hits.given_up)


def word_hashes(text: str, points: Points) -> np.ndarray:
    """Return a 64-bit hash of each of `words.words(text)`, (m,) uint64.

    Args:
        points: folding_points().
    """
    data = np.frombuffer(text.encode(), np.uint8)
    words = room_for_words(len(data))
    count = hash_words(data, 0, len(data), points, words)
    if count == GIVEN_UP:
        return word_hashes(normal(text), normal_points())
    return words.hashes[:count].copy()  # the room is freed


def build_index(items: list[TestItem], n: int, min_words: int) -> NGramIndex:
    """Index the items' n-grams.

    Args:
        n: words per n-gram. An item of fewer words is one n-gram of its own length.
        min_words: an item of fewer words isn't sought.
    """
    points = folding_points()
    words = [word_hashes(item.text, points) for item in items]
    lengths = np.array([min(n, len(each)) if len(each) >= min_words else 0 for each in words], np.int64)
    hashes = [
        np.unique(hash_ngrams(each, length)) if length else np.zeros(0, np.uint64)
        for each, length in zip(words, lengths.tolist(), strict=True)
    ]
    unique, places, counts = np.unique(
        np.concatenate([np.zeros(0, np.uint64), *hashes]), return_inverse=True, return_counts=True
    )
    sizes = np.array([len(part) for part in hashes], np.int64)
    holders = np.repeat(np.arange(len(items), dtype=np.int32), sizes)[np.argsort(places, kind="stable")]
    return NGramIndex(
        _table(unique, words, lengths),
        np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]),
        holders,
        [item.name for item in items],
        [item.text[:SNIPPET_CHARS] for item in items],
        int((lengths == 0).sum()),
        points,
    )


def _table(hashes: np.ndarray, words: list[np.ndarray], lengths: np.ndarray) -> Table:
    bits = max(1, len(hashes).bit_length())
    firsts = np.arange(2**bits, dtype=np.uint64) << np.uint64(64 - bits)
    starts = np.append(np.searchsorted(hashes, firsts), len(hashes)).astype(np.int64)
    different = np.unique(lengths[lengths > 0])
    shortest = int(different[0]) if len(different) else 1
    anchors = [
        hash_ngrams(each, shortest)[: len(each) - length + 1]
        for each, length in zip(words, lengths.tolist(), strict=True)
        if length
    ]
    anchor_bits = bits + _BITS_PER_ANCHOR
    seen = np.zeros(2**anchor_bits, bool)
    seen[np.concatenate([np.zeros(0, np.uint64), *anchors]) >> np.uint64(64 - anchor_bits)] = True
    return Table(
        hashes,
        starts,
        np.uint64(64 - bits),
        different if len(different) else np.array([1]),
        np.packbits(seen, bitorder="little"),
        np.uint64(64 - anchor_bits),
    )
