"""The hot loops of decontamination: UTF-8 to word hashes, word hashes to n-gram hashes, n-gram hashes to numbers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from data_pipeline.compiled import array_kernel, inlined_kernel

BREAK, LETTER, ALONE, MARK, DROPPED = range(5)  # classes of code points, see words.char_class
EXPANDS = 5  # stands for several code points, each with its own class
KIND_SHIFT = 24  # an entry of Points: the class above, the code point (or the place of the expansion) below
# How a code point joins its neighbours; the lowest eight bits are its combining class
FOLLOWS = 0x100  # it may join what is before it, or change places with it
TAKES_MARKS = 0x200  # a starter that some mark joins; with FOLLOWS: a mark that joins some starter
TAKES_NOTHING = 0x400  # a starter whose table entry doesn't hold before a mark
IRREGULAR = 0x800  # its table entry never holds
GIVEN_UP = -1  # instead of a number of words: Python must make the normal form

# FNV-1a over a word's code points, a polynomial over an n-gram's words, the finaliser of MurmurHash3 after each
_FNV_OFFSET, _FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
_WORD_BASE = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2, _MIX_SHIFT = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53), np.uint64(33)
_AFTER_ASCII = -1
_POINT = np.uint32((1 << KIND_SHIFT) - 1)
_SHIFT = np.uint32(KIND_SHIFT)


class Points(NamedTuple):
    """What each code point becomes, see decontaminate.points.

    Attributes:
        entries: (0x110000,) uint32.
        joins: (0x110000,) uint16, combining class and flags.
        expansions: (e,) uint32: runs of a number and that many entries.
        letters: (0x100,) uint8: what a byte of ASCII becomes that is a letter or digit, 0 for all others.
    """

    entries: np.ndarray
    joins: np.ndarray
    expansions: np.ndarray
    letters: np.ndarray


class Words(NamedTuple):
    """Room for the words of one document; `room_for_words` says how much it needs.

    Attributes:
        hashes: (m,) uint64.
        starts, ends: (m,) int64, where each lies, in bytes.
        num_alone: (1,) int64, how many of them are letters of a script without spaces.
    """

    hashes: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    num_alone: np.ndarray


class Table(NamedTuple):
    """Sorted hashes with a directory: those whose first k bits are b are hashes[starts[b] : starts[b + 1]], about one.

    Attributes:
        hashes: (g,) uint64, sorted, each once.
        starts: (2^k + 1,) int32, or int64 where that is too small.
        shift: 64 - k.
        lengths: (l,) int64, ascending, the lengths of the n-grams in words.
        anchors: (2^a / 8,) uint8, bits: whether an n-gram begins with lengths[0] words of such a sum. Most places of a
            text are passed by one look at it.
        anchor_shift: 64 - a.
    """

    hashes: np.ndarray
    starts: np.ndarray
    shift: np.uint64
    lengths: np.ndarray
    anchors: np.ndarray
    anchor_shift: np.uint64


class Hits(NamedTuple):
    """Where n-grams were found, in the order of the text.

    Attributes:
        documents, ngrams, starts, ends: (h,) int64: the document, the n-gram's number, its bytes from the beginning of
            the document.
        given_up: (documents,) bool: which were not searched.
    """

    documents: np.ndarray
    ngrams: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    given_up: np.ndarray


def room_for_words(num_bytes: int) -> Words:
    """Return room for the words of a text: no code point gives more than twice its bytes."""
    most = 2 * num_bytes + 1  # pages that are not touched take no memory
    return Words(np.empty(most, np.uint64), np.empty(most, np.int64), np.empty(most, np.int64), np.zeros(1, np.int64))


@array_kernel
def hash_words(data: np.ndarray, first: int, stop: int, points: Points, words: Words) -> int:
    """Hash the words of data[first:stop], those of words.words, and note where they lie; return their number.

    Args:
        data: (b,) uint8, UTF-8.
        words: is filled.
    Returns:
        The number of words, or GIVEN_UP.
    """
    count, num_alone = 0, 0
    kind = BREAK  # of the word that is open: LETTER, ALONE, or BREAK where none is
    value = np.uint64(0)
    before = 0  # the joins of the code point before; AFTER_ASCII: look at that byte
    place = first
    while place < stop:
        at = place  # an index without a sign spares the question whether it counts from the end: a quarter of the time
        folded = points.letters[data[np.uint64(place)]]
        if folded != 0:
            if kind != LETTER:
                count = _next_word(words, count, kind, value, at, at)
                value, kind = _FNV_OFFSET, LETTER
            while folded != 0:
                value = (value ^ np.uint64(folded)) * _FNV_PRIME
                place += 1
                folded = points.letters[data[np.uint64(place)]] if place < stop else np.uint8(0)
            before = _AFTER_ASCII
            continue
        if data[place] < 0x80:
            if kind != BREAK and points.entries[data[place]] >> _SHIFT == BREAK:
                words.hashes[count - 1], words.ends[count - 1] = _mix64(value), at
                kind = BREAK
            place += 1
            before = _AFTER_ASCII
            continue
        if before == _AFTER_ASCII:
            before = points.joins[data[place - 1]]
        point, place = _decode(data, place)
        before = _joined(before, points.joins[point])
        if before == IRREGULAR:
            return GIVEN_UP
        entry = points.entries[point]
        expansion, left = 0, 1
        if entry >> _SHIFT == EXPANDS:
            expansion = int(entry & _POINT)
            left = int(points.expansions[expansion])
            expansion += 1
            entry = points.expansions[expansion]
        border = at
        while left > 0:
            letter = int(entry >> _SHIFT)
            if letter == ALONE or (letter == LETTER and kind != LETTER):
                count = _next_word(words, count, kind, value, border, at)
                num_alone += letter == ALONE
                value, kind = (_FNV_OFFSET ^ np.uint64(entry & _POINT)) * _FNV_PRIME, letter
            elif letter == BREAK and kind != BREAK:
                words.hashes[count - 1], words.ends[count - 1] = _mix64(value), border
                kind = BREAK
            elif letter == LETTER or (letter == MARK and kind != BREAK):
                value = (value ^ np.uint64(entry & _POINT)) * _FNV_PRIME
            left -= 1
            expansion += 1
            border = place  # what ends after the first of several code points ends behind the one they stand for
            if left > 0:
                entry = points.expansions[expansion]
    if kind != BREAK:
        words.hashes[count - 1], words.ends[count - 1] = _mix64(value), stop
    words.num_alone[0] = num_alone
    return count


@inlined_kernel
def _next_word(words: Words, count: int, kind: int, value: np.uint64, end: int, start: int) -> int:
    """End the word that is open, if one is, and begin another; return their number."""
    if kind != BREAK:
        words.hashes[np.uint64(count - 1)], words.ends[np.uint64(count - 1)] = _mix64(value), end
    words.starts[np.uint64(count)] = start
    return count + 1


@array_kernel
def hash_texts(
    data: np.ndarray, offsets: np.ndarray, points: Points, words: Words
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hash the words of texts; arguments as of `find_ngrams`.

    Returns:
        The words of all texts laid end to end, (m,) uint64; how many each has, (texts,) int64, GIVEN_UP among them; and
        how many of these are letters of a script without spaces, (texts,) int64.
    """
    hashes, filled = np.empty(1024, np.uint64), 0
    counts, num_alone = np.empty(len(offsets) - 1, np.int64), np.zeros(len(offsets) - 1, np.int64)
    for text in range(len(counts)):
        count = hash_words(data, offsets[text], offsets[text + 1], points, words)
        counts[text], num_alone[text] = count, words.num_alone[0]
        for word in range(count):
            if filled == len(hashes):
                hashes = np.concatenate((hashes, np.empty_like(hashes)))
            hashes[filled] = words.hashes[word]
            filled += 1
    return hashes[:filled].copy(), counts, num_alone


@array_kernel
def hash_ngrams(words: np.ndarray, firsts: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Return a 64-bit hash of each run of `widths[t]` words of text t, the texts laid end to end, (p,) uint64.

    Runs of different lengths have different hashes.

    Args:
        words: (m,) uint64, hashes.
        firsts: (texts + 1,) int64: text t is words[firsts[t] : firsts[t + 1]].
        widths: (texts,) int64; 0: the text has no runs.
    """
    ngrams, filled = np.empty(len(words), np.uint64), 0
    for text in range(len(widths)):
        width = widths[text]
        if width == 0:
            continue
        power, sum_ = _power(width), np.uint64(0)
        for word in range(firsts[text], firsts[text + 1]):
            sum_ = sum_ * _WORD_BASE + words[word]
            if word - firsts[text] >= width:
                sum_ -= power * words[word - width]
            if word - firsts[text] >= width - 1:
                ngrams[filled] = _mix64(sum_ + np.uint64(width))
                filled += 1
    return ngrams[:filled].copy()


@array_kernel
def mark_anchors(words: np.ndarray, firsts: np.ndarray, widths: np.ndarray, table: Table) -> None:
    """Set the bits of `table.anchors` for the n-grams of texts; arguments as of `hash_ngrams`."""
    length = table.lengths[0]
    power = _power(length)
    for text in range(len(widths)):
        if widths[text] == 0:
            continue
        sum_ = np.uint64(0)
        for word in range(firsts[text], firsts[text + 1] - widths[text] + length):
            sum_ = sum_ * _WORD_BASE + words[word]
            if word - firsts[text] >= length:
                sum_ -= power * words[word - length]
            if word - firsts[text] >= length - 1:
                bit = sum_ >> table.anchor_shift
                table.anchors[bit >> np.uint64(3)] |= np.uint8(1) << np.uint8(bit & np.uint64(7))


@array_kernel
def count_words(counts: np.ndarray, item_firsts: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Return how many words of each item lie in an n-gram that counts, (items,) int64.

    Args:
        counts: (p,) bool: of all items' n-grams laid end to end.
        item_firsts: (items + 1,) int64: item i's are counts[item_firsts[i] : item_firsts[i + 1]].
        widths: (items,) int64, words per n-gram.
    """
    words = np.zeros(len(widths), np.int64)
    for item in range(len(widths)):
        stop = item_firsts[item]  # of the words that are counted already
        for first in range(item_firsts[item], item_firsts[item + 1]):
            if counts[first]:
                words[item] += first + widths[item] - max(first, stop)
                stop = first + widths[item]
    return words


@array_kernel
def find_ngrams(data: np.ndarray, offsets: np.ndarray, points: Points, table: Table, words: Words) -> Hits:
    """Find the n-grams of the table in documents.

    Args:
        data: (b,) uint8, UTF-8.
        offsets: (documents + 1,) int64: document d is data[offsets[d] : offsets[d + 1]].
        words: room for the longest document.
    """
    hits, count = np.empty((1024, 4), np.int64), 0
    given_up = np.zeros(len(offsets) - 1, np.bool_)
    length = table.lengths[0]
    power = _power(length)
    for document in range(len(offsets) - 1):
        first = offsets[document]
        num_words = hash_words(data, first, offsets[document + 1], points, words)
        given_up[document] = num_words == GIVEN_UP
        sum_ = np.uint64(0)
        for last in range(num_words):
            sum_ = sum_ * _WORD_BASE + words.hashes[last]
            if last >= length:
                sum_ -= power * words.hashes[last - length]
            if last < length - 1 or not _is_anchor(sum_, table):
                continue
            begin = last - length + 1
            size, longer_sum = length, sum_
            for longer in table.lengths:
                if begin + longer > num_words:
                    break
                while size < longer:
                    longer_sum = longer_sum * _WORD_BASE + words.hashes[begin + size]
                    size += 1
                ngram = _number(_mix64(longer_sum + np.uint64(longer)), table)
                if ngram >= 0:
                    if count == len(hits):
                        hits = np.concatenate((hits, np.empty_like(hits)))
                    hits[count, 0], hits[count, 1] = document, ngram
                    hits[count, 2], hits[count, 3] = words.starts[begin] - first, words.ends[begin + longer - 1] - first
                    count += 1
    hits = hits[:count]
    return Hits(hits[:, 0].copy(), hits[:, 1].copy(), hits[:, 2].copy(), hits[:, 3].copy(), given_up)


@array_kernel
def _number(hash_: np.uint64, table: Table) -> int:
    """Return the number of the n-gram of this hash, or -1."""
    prefix = hash_ >> table.shift
    for place in range(table.starts[prefix], table.starts[prefix + np.uint64(1)]):
        if table.hashes[place] == hash_:
            return place
    return -1


@array_kernel
def _is_anchor(sum_: np.uint64, table: Table) -> bool:
    bit = sum_ >> table.anchor_shift
    return bool((table.anchors[bit >> np.uint64(3)] >> np.uint8(bit & np.uint64(7))) & np.uint8(1))


@array_kernel
def _joined(before: int, now: int) -> int:
    """Return the state after a code point, IRREGULAR where the table doesn't hold for it here.

    The state is how the last starter takes marks, and the combining class of the code point before.
    """
    if not now & FOLLOWS:
        return now
    combining = now & 0xFF
    if now & IRREGULAR or before & TAKES_NOTHING:
        return IRREGULAR
    if (now & TAKES_MARKS and before & TAKES_MARKS) or (combining != 0 and combining < before & 0xFF):
        return IRREGULAR
    if combining == 0:  # it stands as a starter now, and nothing is known of what joins it
        return TAKES_MARKS
    return before & ~0xFF | combining


@array_kernel
def _decode(data: np.ndarray, place: int) -> tuple[np.uint32, int]:
    """Return the code point at a place of valid UTF-8, not of ASCII, and the place after it."""
    first = np.uint32(data[place])
    if first < 0xE0:
        return (first & np.uint32(0x1F)) << np.uint32(6) | _tail(data, place + 1), place + 2
    if first < 0xF0:
        point = (first & np.uint32(0x0F)) << np.uint32(6) | _tail(data, place + 1)
        return point << np.uint32(6) | _tail(data, place + 2), place + 3
    point = (first & np.uint32(0x07)) << np.uint32(6) | _tail(data, place + 1)
    point = point << np.uint32(6) | _tail(data, place + 2)
    return point << np.uint32(6) | _tail(data, place + 3), place + 4


@array_kernel
def _tail(data: np.ndarray, place: int) -> np.uint32:
    return np.uint32(data[place]) & np.uint32(0x3F)


@array_kernel
def _power(length: int) -> np.uint64:
    power = np.uint64(1)
    for _ in range(length):
        power = power * _WORD_BASE
    return power


@array_kernel
def _mix64(value: np.uint64) -> np.uint64:
    """Source: MurmurHash3's fmix64, Austin Appleby, public domain."""
    value = (value ^ (value >> _MIX_SHIFT)) * _MIX_1
    value = (value ^ (value >> _MIX_SHIFT)) * _MIX_2
    return value ^ (value >> _MIX_SHIFT)
