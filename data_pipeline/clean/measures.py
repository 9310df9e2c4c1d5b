"""Counts of characters, words and lines, which the rules judge by. Once in plain Python, once as a kernel over bytes.

A word is what `str.split()` gives. A line ends with a newline; after a last newline no empty line follows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from data_pipeline.clean.bounds import (
    IS_LETTER,
    IS_SOUGHT,
    IS_WIDE,
    KEY_BYTES,
    byte_signs,
    count_chars,
    find_words,
    key_of_word,
    rooms_for,
)
from data_pipeline.clean.chars import (
    LETTER,
    NEWLINE,
    SPACE,
    byte_kinds,
    char_classes,
)
from data_pipeline.compiled import kernel
from data_pipeline.documents import utf8_buffers
from data_pipeline.utf8 import decode, decode_last

BULLETS = ("•", "-")  # as datatrove's GopherQualityFilter (0.10) reads "bullet point"
ELLIPSES = ("...", "…")
MAX_STOP_WORDS = 64  # a bit each

# Columns of what `measure` returns.
(CHARS, WORDS, WORD_CHARS, ALPHA_WORDS, STOP_WORDS, HASHES, NUM_ELLIPSES, LINES, BULLET_LINES, ELLIPSIS_LINES) = range(
    10
)
NUM_MEASURES = 10
# Columns of what `measure_code` fills.
(CODE_CHARS, CODE_LINES, LINE_CHARS, LONGEST_LINE, ALPHANUMERIC) = range(5)
NUM_CODE_MEASURES = 5

_DOT, _HASH, _ELLIPSIS = 0x2E, 0x23, 0x2026
_SOUGHT = b".#-"  # what a word is read again for, in ASCII
_SLOTS = 1024
_SHIFT = np.uint64(64 - 10)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, odd: Knuth, TAOCP 3, 6.4
_BULLET_1, _BULLET_2 = (ord(bullet) for bullet in BULLETS)


@dataclass(frozen=True, slots=True)
class StopWords:
    """Words to look for, as the kernel reads them: each a bit, the short ones from below, the long ones from above.

    Attributes:
        keys, bits: (_SLOTS,) uint64: the words of fewer than KEY_BYTES bytes, no two in a slot; empty ones have no bit.
        factor: what a key is multiplied with for its slot.
        data, offsets: the longer words' UTF-8 bytes, (n,) uint8, and where each begins and ends, (words + 1,) int64.
    """

    keys: np.ndarray
    bits: np.ndarray
    factor: np.uint64
    data: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, words: tuple[str, ...]) -> StopWords:
        """Return up to MAX_STOP_WORDS different words; one that is given twice counts once."""
        encoded = [word.encode() for word in dict.fromkeys(words)]
        assert len(encoded) <= MAX_STOP_WORDS, "each is a bit"
        long = [word for word in encoded if len(word) >= KEY_BYTES]
        offsets = np.cumsum([0, *map(len, long)], dtype=np.int64)
        short = [word for word in encoded if len(word) < KEY_BYTES]
        return cls(*_table(short), np.frombuffer(b"".join(long), dtype=np.uint8), offsets)


def _short_key_one(word: bytes) -> int:
    """Return what `_short_key` does."""
    return int.from_bytes(word, "little") << 8 * (KEY_BYTES - len(word)) | len(word)


def _table(words: list[bytes]) -> tuple[np.ndarray, np.ndarray, np.uint64]:
    """Return the table of different words of fewer than KEY_BYTES bytes, found by trying factors until no two share a
    slot: MAX_STOP_WORDS have slots of their own at one factor of eight."""
    keys = np.array([_short_key_one(word) for word in words], np.uint64)
    factor = _GOLDEN
    while len(set((slots := keys * factor >> _SHIFT).tolist())) < len(words):
        factor = np.uint64(int(factor) * int(_GOLDEN) % 2**64)  # of numpy's scalars it would warn
    table, bits = np.zeros((2, _SLOTS), np.uint64)
    table[slots], bits[slots] = keys, np.uint64(1) << np.arange(len(words), dtype=np.uint64)
    return table, bits, factor


def measure_one(text: str, stop_words: tuple[str, ...] = ()) -> list[int]:
    """Return the measures of one text: the reference that `measure` equals.

    Args:
        stop_words: compared with each word as it is written.
    """
    words = text.split()
    lines = text.removesuffix("\n").split("\n") if text else []
    measures = [0] * NUM_MEASURES
    measures[CHARS] = len(text)
    measures[WORDS] = len(words)
    measures[WORD_CHARS] = sum(len(word) for word in words)
    measures[ALPHA_WORDS] = sum(any(char.isalpha() for char in word) for word in words)
    measures[STOP_WORDS] = len(set(words) & set(stop_words))
    measures[HASHES] = text.count("#")
    measures[NUM_ELLIPSES] = sum(text.count(ellipsis) for ellipsis in ELLIPSES)
    measures[LINES] = len(lines)
    measures[BULLET_LINES] = sum(line.lstrip().startswith(BULLETS) for line in lines)
    measures[ELLIPSIS_LINES] = sum(line.rstrip().endswith(ELLIPSES) for line in lines)
    return measures


def measure(texts: pa.LargeStringArray, stop_words: StopWords | None = None) -> np.ndarray:
    """Return (texts, NUM_MEASURES) int64, column by column as the names above; no Python object a word.

    Args:
        texts: without nulls.
        stop_words: compared with each word as it is written.
    """
    data, offsets = utf8_buffers(texts)
    words = stop_words or StopWords.of(())
    measures = np.zeros((len(texts), NUM_MEASURES), dtype=np.int64)
    tables = words.keys, words.bits, words.factor, words.data, words.offsets
    rooms = rooms_for(int(np.diff(offsets).max(initial=0)))
    _measure(data, offsets, byte_kinds(), char_classes(), byte_signs(_SOUGHT), *tables, *rooms, measures)
    return measures


@kernel
def _measure(
    data: Any, offsets: Any, kinds: Any, classes: Any, signs: Any, keys: Any, bits: Any, factor: Any, stop_data: Any,
    stop_offsets: Any, gaps: Any, bounds: Any, found: Any, measures: Any,
) -> None:  # fmt: skip
    for number in range(offsets.size - 1):
        text = data[offsets[number] : offsets[number + 1]]
        num_words = find_words(text, kinds, classes, signs, gaps, bounds, found)
        _measure_words(text, num_words, bounds, found, classes, measures[number])
        seen = _stop_words(text, num_words, bounds, keys, bits, factor, stop_data, stop_offsets)
        while seen:
            seen &= seen - np.uint64(1)
            measures[number, STOP_WORDS] += 1
        measures[number, LINES] = _count_lines(text)
        measures[number, CHARS] = count_chars(text)
        measures[number, WORDS] = num_words


@kernel
def _count_lines(text: Any) -> int:
    lines = 0
    for place in range(text.size):
        lines += text[place] == NEWLINE
    return lines + int(text.size > 0 and text[text.size - 1] != NEWLINE)


@kernel
def _measure_words(text: Any, num_words: int, bounds: Any, found: Any, classes: Any, measures: Any) -> None:
    """Count what the words of a text have; those with a sign or beyond ASCII are read again."""
    letter_words, word_chars = 0, 0
    for word in range(num_words):
        first, last, signs = bounds[2 * word], bounds[2 * word + 1], found[2 * word + 1]
        has_letter = signs & IS_LETTER > 0
        word_chars += last - first
        if signs & (IS_WIDE | IS_SOUGHT):
            chars, has_wide_letter, with_ellipsis = _read_word(text, first, last, classes, measures)
            word_chars += chars - (last - first)
            has_letter |= has_wide_letter
            if with_ellipsis:
                measures[ELLIPSIS_LINES] += _ends_line(text, last, classes)
            if decode(text, first)[0] in (_BULLET_1, _BULLET_2):
                measures[BULLET_LINES] += _begins_line(text, first, classes)
        letter_words += has_letter
    measures[ALPHA_WORDS], measures[WORD_CHARS] = letter_words, word_chars


@kernel
def _read_word(text: Any, place: int, stop: int, classes: Any, measures: Any) -> tuple[int, bool, bool]:
    """Count the signs in a word; return its characters, whether it has a letter, and whether it ends in an ellipsis."""
    chars, dots, has_letter, is_ellipsis = 0, 0, False, False
    while place < stop:
        char, size = decode(text, place)
        chars += 1
        has_letter |= classes[char] == LETTER
        measures[HASHES] += char == _HASH
        dots = dots + 1 if char == _DOT else 0
        is_ellipsis = char == _ELLIPSIS
        measures[NUM_ELLIPSES] += is_ellipsis or (dots > 0 and dots % 3 == 0)
        place += size
    return chars, has_letter, is_ellipsis or dots >= 3


@kernel
def _ends_line(text: Any, place: int, classes: Any) -> bool:
    """Return whether nothing but white space stands from here to the end of the line."""
    while place < text.size and text[place] != NEWLINE:
        char, size = decode(text, place)
        if classes[char] != SPACE:
            return False
        place += size
    return True


@kernel
def _begins_line(text: Any, place: int, classes: Any) -> bool:
    """Return whether nothing but white space stands from the beginning of the line to here."""
    while place > 0 and text[place - 1] != NEWLINE:
        char, place = decode_last(text, 0, place)
        if classes[char] != SPACE:
            return False
    return True


@kernel
def _stop_words(
    text: Any, num_words: int, bounds: Any, keys: Any, bits: Any, factor: Any, stop_data: Any, stop_offsets: Any
) -> Any:
    """Return the bits of the stop words that occur."""
    seen, has_long = np.uint64(0), stop_offsets.size > 1
    for word in range(num_words):
        first, last = bounds[2 * word], bounds[2 * word + 1]
        key = _short_key(text, first, last)
        slot = np.int64(key * factor >> _SHIFT)
        seen |= bits[slot] * np.uint64((keys[slot] == key) & (last - first < KEY_BYTES))  # no branch: half are wrong
        if has_long and last - first >= KEY_BYTES:
            seen |= _long_stop_word(text, first, last, stop_data, stop_offsets)
    return seen


@kernel
def _short_key(text: Any, first: int, last: int) -> Any:
    """Return a word of fewer bytes than a key has, and how many."""
    return key_of_word(text, first, last) | np.uint64(last - first)


@kernel
def _long_stop_word(text: Any, start: int, stop: int, stop_data: Any, stop_offsets: Any) -> Any:
    """Return the bit of the stop word that the word text is, or 0."""
    for word in range(stop_offsets.size - 1):
        first = stop_offsets[word]
        if stop_offsets[word + 1] - first != stop - start:
            continue
        place = 0
        while place < stop - start and text[start + place] == stop_data[first + place]:
            place += 1
        if place == stop - start:
            return np.uint64(1) << np.uint64(63 - word)
    return np.uint64(0)


@kernel
def measure_code(data: Any, offsets: Any, alphanumeric: Any, measures: Any) -> None:
    """Fill `measures` (texts, NUM_CODE_MEASURES)."""
    for text in range(offsets.size - 1):
        place, stop, found = offsets[text], offsets[text + 1], measures[text]
        line_chars, longest, lines, chars, known = 0, 0, 0, 0, 0
        if place < stop and data[stop - 1] != NEWLINE:
            lines = 1
        while place < stop:
            char, size = decode(data, place)
            place += size
            chars += 1
            known += alphanumeric[char]
            line_chars += 1
            if char == NEWLINE:
                longest = max(longest, line_chars - 1)
                lines += 1
                line_chars = 0
        found[CODE_CHARS], found[CODE_LINES], found[ALPHANUMERIC] = chars, lines, known
        found[LINE_CHARS] = chars - lines + (stop > offsets[text] and data[stop - 1] != NEWLINE)
        found[LONGEST_LINE] = max(longest, line_chars)
