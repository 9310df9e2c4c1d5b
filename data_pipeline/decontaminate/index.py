"""The n-grams of all test items in arrays: which n-grams are sought, and which items hold each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from data_pipeline.decontaminate.kernels import (
    GIVEN_UP,
    Hits,
    Points,
    Table,
    count_words,
    find_ngrams,
    hash_ngrams,
    hash_texts,
    hash_words,
    mark_anchors,
    room_for_words,
)
from data_pipeline.decontaminate.points import folding_points, normal_points, spans_in_text
from data_pipeline.decontaminate.testsets import TestItem
from data_pipeline.decontaminate.words import normal
from data_pipeline.documents import SNIPPET_CHARS, utf8_buffers

_BITS_PER_ANCHOR = 4  # 2^4: one place in sixteen is looked at for nothing
_ITEMS_AT_A_TIME = 10_000


class Counting(NamedTuple):
    """Which n-grams count.

    Attributes:
        ngrams: (num_ngrams,) bool.
        item_words: (num_items,) int64: the words of each item that lie in an n-gram which counts.
    """

    ngrams: np.ndarray
    item_words: np.ndarray


class Holders(NamedTuple):
    """Where items hold n-grams, a row for each place.

    Attributes:
        rows: (m,) int64, which of the n-grams asked for.
        items: (m,) int64.
        places: (m,) int64, in all items' n-grams laid end to end: next to each other where their first words are.
    """

    rows: np.ndarray
    items: np.ndarray
    places: np.ndarray


@dataclass(frozen=True, slots=True)
class NGramIndex:
    """What judges documents. Arrays and names only, so it travels to workers.

    Attributes:
        table: the n-grams' hashes; an n-gram's number is its place there.
        place_starts: (num_ngrams + 1,) int64.
        places: (p,) of integers: n-gram g stands at places[place_starts[g] : place_starts[g + 1]], ascending.
        item_firsts: (num_items + 1,) int64: item i's n-grams, in its order, are the places from item_firsts[i] on.
        widths: (num_items,) int64, words per n-gram of each item; 0: too short to be sought, and no document is ever
            removed for it.
        names: of the items, `<set>#<item>`.
        begins: of their texts, for evidence.
        points: folding_points().
    """

    table: Table
    place_starts: np.ndarray
    places: np.ndarray
    item_firsts: np.ndarray
    widths: np.ndarray
    names: list[str]
    begins: list[str]
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
        parts = [hits]
        for document in np.flatnonzero(hits.given_up).tolist():
            found = self._find_by_normal_form(texts[document].as_py())
            parts.append(found._replace(documents=np.full(len(found.ngrams), document, np.int64)))
        return _in_order(parts) if len(parts) > 1 else hits

    def _find_by_normal_form(self, text: str) -> Hits:
        data = np.frombuffer(normal(text).encode(), np.uint8)
        offsets = np.array([0, len(data)])
        offsets.flags.writeable = False  # as those of Arrow: for another kind of array kernels are compiled again
        hits = find_ngrams(data, offsets, normal_points(), self.table, room_for_words(len(data)))
        if not len(hits.ngrams):
            return hits
        starts, ends = spans_in_text(text, hits.starts, hits.ends)
        return hits._replace(starts=starts, ends=ends)

    def holders(self, ngrams: np.ndarray) -> Holders:
        """Return where items hold these n-grams, by n-gram."""
        starts = self.place_starts[ngrams]
        sizes = self.place_starts[ngrams + 1] - starts
        firsts = np.repeat(starts - (np.cumsum(sizes) - sizes), sizes)
        places = self.places[firsts + np.arange(len(firsts))].astype(np.int64)
        items = np.searchsorted(self.item_firsts, places, side="right") - 1
        return Holders(np.repeat(np.arange(len(ngrams)), sizes), items, places)

    def counting(self, ngrams: np.ndarray) -> Counting:
        """Return what counts of the items.

        Args:
            ngrams: (num_ngrams,) bool: which count.
        """
        counts = np.zeros(len(self.places), bool)
        counts[self.places] = np.repeat(ngrams, np.diff(self.place_starts))
        return Counting(ngrams, count_words(counts, self.item_firsts, self.widths))


def words_covered(groups: np.ndarray, places: np.ndarray, widths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first row of each group, and how many words lie in at least one of its n-grams, (g,) int64 each.

    Args:
        groups: (m,) int64, ascending.
        places: (m,) int64, of the first word of each n-gram, ascending in a group.
        widths: (m,) int64, words per n-gram.
    """
    is_first = np.concatenate([[True], groups[1:] != groups[:-1]])[: len(groups)]
    words = widths.copy()
    goes_on = np.flatnonzero(~is_first) - 1
    words[goes_on] = np.minimum(words[goes_on], places[goes_on + 1] - places[goes_on])
    firsts = np.flatnonzero(is_first)
    return firsts, np.add.reduceat(words, firsts) if len(firsts) else words


def ngram_widths(num_words: np.ndarray, n: int, min_words: int) -> np.ndarray:
    """Return of how many words the n-grams are by which an item is sought, (m,) int64; 0: it isn't.

    Of n words; in an item of fewer than 1.5 n words of a sixth less (11 of 13), so that most of it is enough; an item
    of fewer than n words is one n-gram, the whole item.

    Args:
        num_words: (m,) int64, of the items.
        min_words: an item of fewer isn't sought.
    """
    cases = [num_words < min_words, num_words < n, 2 * num_words < 3 * n]
    widths: np.ndarray = np.select(cases, [0, num_words, n - n // 6], n)
    return widths


def _in_order(parts: list[Hits]) -> Hits:
    """Return the hits of all parts by document; each document is of one part, the first of which has searched all."""
    columns = [np.concatenate(column) for column in list(zip(*parts, strict=True))[:4]]
    order = np.argsort(columns[0], kind="stable")
    documents, ngrams, starts, ends = (column[order] for column in columns)
    return Hits(documents, ngrams, starts, ends, parts[0].given_up)


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
    """Index the items' n-grams, see `ngram_widths`."""
    points = folding_points()
    words, num_words = _words_of(items, points)
    widths = ngram_widths(num_words, n, min_words)
    firsts = np.concatenate([[0], np.cumsum(num_words)])
    ngrams = hash_ngrams(words, firsts, widths)
    order = np.argsort(ngrams, kind="stable").astype(_places_type(len(ngrams)))
    ngrams = ngrams[order]
    is_new = np.concatenate([[True], ngrams[1:] != ngrams[:-1]])[: len(ngrams)]
    sizes = np.where(widths > 0, num_words - widths + 1, 0)
    return NGramIndex(
        _table(ngrams[is_new], words, firsts, widths),
        np.append(np.flatnonzero(is_new), len(ngrams)),
        order,
        np.concatenate([[0], np.cumsum(sizes)]),
        widths,
        [item.name for item in items],
        [item.text[:SNIPPET_CHARS] for item in items],
        points,
    )


def _words_of(items: list[TestItem], points: Points) -> tuple[np.ndarray, np.ndarray]:
    """Return the words of all items laid end to end, and how many each has."""
    hashes, counts = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    for first in range(0, len(items), _ITEMS_AT_A_TIME):
        texts = [item.text for item in items[first : first + _ITEMS_AT_A_TIME]]
        data, offsets = utf8_buffers(pa.array(texts, pa.large_string()))
        found, count = hash_texts(data, offsets, points, room_for_words(int(np.diff(offsets).max())))
        given_up = np.flatnonzero(count == GIVEN_UP)
        added = [word_hashes(texts[at], points) for at in given_up.tolist()]
        count[given_up] = 0
        before = np.cumsum(count)[given_up]
        count[given_up] = [len(each) for each in added]
        hashes.append(np.insert(found, np.repeat(before, count[given_up]), np.concatenate([hashes[0], *added])))
        counts.append(count)
    return np.concatenate(hashes), np.concatenate(counts)


def _places_type(num_places: int) -> type[np.integer[Any]]:
    return np.int32 if num_places < 2**31 else np.int64


def _table(hashes: np.ndarray, words: np.ndarray, firsts: np.ndarray, widths: np.ndarray) -> Table:
    """Return the table of these n-grams, sorted; the other arguments as of `hash_ngrams`."""
    bits = max(1, len(hashes).bit_length())
    prefixes = np.arange(2**bits, dtype=np.uint64) << np.uint64(64 - bits)
    starts = np.append(np.searchsorted(hashes, prefixes), len(hashes)).astype(_places_type(len(hashes)))
    lengths = np.unique(widths[widths > 0])
    anchor_bits = max(3, bits + _BITS_PER_ANCHOR)
    table = Table(
        hashes,
        starts,
        np.uint64(64 - bits),
        lengths if len(lengths) else np.array([1]),
        np.zeros(2 ** (anchor_bits - 3), np.uint8),
        np.uint64(64 - anchor_bits),
    )
    mark_anchors(words, firsts, widths, table)
    return table
