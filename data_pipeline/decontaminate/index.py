"""The n-grams of all test items in arrays: which n-grams are sought, and which items hold each of them."""

from __future__ import annotations

from collections.abc import Sequence
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
from data_pipeline.decontaminate.words import normal
from data_pipeline.documents import utf8_buffers

_BITS_PER_ANCHOR = 4  # 2^4: one place in sixteen is looked at for nothing


class ItemWords(NamedTuple):
    """The words of test items, 8 bytes a word: all that an index is made of.

    Attributes:
        hashes: (m,) uint64, of the items' words laid end to end.
        counts: (num_items,) int64, words of each item.
        half_words: (num_items,) int64, the length by which an item is too short to be sought: a letter of a script
            without spaces is half a word, as Chinese and Korean words have two letters, more or less.
    """

    hashes: np.ndarray
    counts: np.ndarray
    half_words: np.ndarray


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
    """What judges documents: arrays, in memory or mapped from a file that all workers share.

    A held-out word takes 8 bytes of the hash of its n-gram, 4 of the n-gram's number in its item, 4 to 8 of the
    directory, 2 to 4 of the anchors: 18 to 24. While it is built there are its word's hash, the n-grams' order and
    their sorted hashes besides: 60 at most.

    Attributes:
        table: the n-grams' hashes; an n-gram's number is its place there.
        place_starts: (num_ngrams + 1,) of integers.
        places: (p,) of integers: n-gram g stands at places[place_starts[g] : place_starts[g + 1]], ascending.
        item_firsts: (num_items + 1,) int64: item i's n-grams, in its order, are the places from item_firsts[i] on.
        widths: (num_items,) int64, words per n-gram of each item; 0: too short to be sought, and no document is ever
            removed for it.
        num_words: (num_items,) int64, of each item.
        points: folding_points().
    """

    table: Table
    place_starts: np.ndarray
    places: np.ndarray
    item_firsts: np.ndarray
    widths: np.ndarray
    num_words: np.ndarray
    points: Points

    @property
    def num_items(self) -> int:
        """Number of items, those that aren't sought among them."""
        return len(self.widths)

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
        starts = self.place_starts[ngrams].astype(np.int64)
        sizes = self.place_starts[ngrams + 1] - starts
        firsts = np.repeat(starts - (np.cumsum(sizes) - sizes), sizes)
        places = self.places[firsts + np.arange(len(firsts))].astype(np.int64)
        items = np.searchsorted(self.item_firsts, places, side="right") - 1
        return Holders(np.repeat(np.arange(len(ngrams)), sizes), items, places)

    def least(self, values: np.ndarray) -> np.ndarray:
        """Return of each item the least of its n-grams' values, (num_items,) int64; 0 where it has none.

        Args:
            values: (num_ngrams,) of integers.
        """
        laid = np.zeros(len(self.places), np.int64)
        laid[self.places] = np.repeat(values, np.diff(self.place_starts))
        least = np.zeros(self.num_items, np.int64)
        has = np.flatnonzero(np.diff(self.item_firsts))
        least[has] = np.minimum.reduceat(laid, self.item_firsts[has]) if len(has) else least[has]
        return least

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


def ngram_widths(num_words: np.ndarray, half_words: np.ndarray, n: int, min_words: int) -> np.ndarray:
    """Return of how many words the n-grams are by which an item is sought, (m,) int64; 0: it isn't.

    Of n words; in an item of fewer than 1.5 n words of a sixth less (11 of 13), so that most of it is enough; an item
    of fewer than n words is one n-gram, the whole item.

    Args:
        num_words, half_words: (m,) int64, of the items.
        min_words: an item of fewer isn't sought.
    """
    cases = [half_words < 2 * min_words, num_words < n, 2 * num_words < 3 * n]
    widths: np.ndarray = np.select(cases, [0, num_words, n - n // 6], n)
    return widths


def _in_order(parts: list[Hits]) -> Hits:
    """Return the hits of all parts by document; each document is of one part, the first of which has searched all."""
    columns = [np.concatenate(column) for column in list(zip(*parts, strict=True))[:4]]
    order = np.argsort(columns[0], kind="stable")
    documents, ngrams, starts, ends = (column[order] for column in columns)
    return Hits(documents, ngrams, starts, ends, parts[0].given_up)


def words_of_text(text: str) -> ItemWords:
    """Return the words of one text, as of the only item: a 64-bit hash of each of `words.words(text)`."""
    return _words_by(text, folding_points())


def _words_by(text: str, points: Points) -> ItemWords:
    data = np.frombuffer(text.encode(), np.uint8)
    words = room_for_words(len(data))
    count = hash_words(data, 0, len(data), points, words)
    if count == GIVEN_UP:
        return _words_by(normal(text), normal_points())
    half_words = 2 * count - words.num_alone
    return ItemWords(words.hashes[:count].copy(), np.array([count]), half_words)  # the room is freed


def build_index(words: ItemWords, n: int, min_words: int) -> NGramIndex:
    """Index the items' n-grams, see `ngram_widths`."""
    widths = ngram_widths(words.counts, words.half_words, n, min_words)
    firsts = np.concatenate([[0], np.cumsum(words.counts)])
    ngrams = hash_ngrams(words.hashes, firsts, widths)
    order = np.argsort(ngrams, kind="stable").astype(_places_type(len(ngrams)))
    ngrams = ngrams[order]
    is_new = np.concatenate([[True], ngrams[1:] != ngrams[:-1]])[: len(ngrams)]
    sizes = np.where(widths > 0, words.counts - widths + 1, 0)
    return NGramIndex(
        _table(ngrams[is_new], words.hashes, firsts, widths),
        _fixed(np.append(np.flatnonzero(is_new), len(ngrams)).astype(_places_type(len(ngrams)))),
        _fixed(order),
        _fixed(np.concatenate([[0], np.cumsum(sizes)])),
        _fixed(widths),
        words.counts,
        folding_points(),
    )


def words_of(texts: pa.LargeStringArray) -> ItemWords:
    """Return the words of texts."""
    data, offsets = utf8_buffers(texts)
    room = room_for_words(int(np.diff(offsets).max(initial=0)))
    hashes, counts, num_alone = hash_texts(data, offsets, folding_points(), room)
    given_up = np.flatnonzero(counts == GIVEN_UP)
    if not len(given_up):
        return ItemWords(hashes, counts, 2 * counts - num_alone)
    added = laid_end_to_end([words_of_text(texts[at].as_py()) for at in given_up.tolist()])
    counts[given_up] = 0
    before = np.cumsum(counts)[given_up]
    half_words = 2 * counts - num_alone
    counts[given_up], half_words[given_up] = added.counts, added.half_words
    return ItemWords(np.insert(hashes, np.repeat(before, added.counts), added.hashes), counts, half_words)


def laid_end_to_end(parts: Sequence[ItemWords]) -> ItemWords:
    """Return the items of all parts, one part after the other."""
    nothing = ItemWords(np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, np.int64))
    return ItemWords(*(np.concatenate(column) for column in zip(nothing, *parts, strict=True)))


def _fixed(array: np.ndarray) -> np.ndarray:
    """Return an array that can't be changed, as a mapped one: for another kind of array kernels are compiled again."""
    array.flags.writeable = False
    return array


def _places_type(num_places: int) -> type[np.integer[Any]]:
    return np.int32 if num_places < 2**31 else np.int64


def _table(hashes: np.ndarray, words: np.ndarray, firsts: np.ndarray, widths: np.ndarray) -> Table:
    """Return the table of these n-grams, sorted; the other arguments as of `hash_ngrams`."""
    bits = max(1, len(hashes).bit_length())
    prefixes = np.arange(2**bits, dtype=np.uint64) << np.uint64(64 - bits)
    starts = np.append(np.searchsorted(hashes, prefixes), len(hashes)).astype(_places_type(len(hashes)))
    lengths = np.unique(widths[widths > 0])
    lengths = lengths if len(lengths) else np.array([1])
    anchor_bits = max(3, bits + _BITS_PER_ANCHOR)
    table = Table(
        hashes,
        starts,
        np.uint64(64 - bits),
        lengths,
        np.zeros(2 ** (anchor_bits - 3), np.uint8),
        np.uint64(64 - anchor_bits),
    )
    mark_anchors(words, firsts, widths, table)
    for array in (table.hashes, table.starts, table.lengths, table.anchors):
        _fixed(array)
    return table
