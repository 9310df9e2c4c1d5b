"""Where the words and lines of a text begin and end: the passes over its bytes that the quality rules' kernels share.

They take no branch at a byte, so that the compiler works on many at once and nothing is guessed: a loop that asks at
every byte whether the word ends here guesses wrong once a word, and took three times as long (3.5 ns a byte against
0.9, an Intel Xeon). They take slices: the place in one can't be negative, which would have to be asked as well.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pyarrow as pa

from data_pipeline.clean.chars import (
    NEWLINE,
    PERHAPS_GAP,
    SPACE,
    byte_kinds,
    char_classes,
)
from data_pipeline.compiled import kernel
from data_pipeline.documents import utf8_buffers
from data_pipeline.utf8 import decode, eight_bytes

IS_LETTER, IS_WIDE, IS_SOUGHT = 1, 2, 4  # what a byte says of the word that it stands in, a bit each
KEY_BYTES = 8
_FACTOR, _HALF = np.uint64(0x9E3779B97F4A7C15), np.uint64(32)  # 2^64 / golden ratio, odd: Knuth, TAOCP 3, 6.4


def rooms_for(most_bytes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the arrays that `find_words` fills, for texts of at most so many bytes; untouched they take no memory."""
    return np.empty(most_bytes, np.uint8), np.empty(most_bytes + 2, np.int64), np.empty(most_bytes + 2, np.uint8)


def sizes(texts: pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
    """Return how many characters and words each text has, (texts,) int64 both; texts: without nulls."""
    data, offsets = utf8_buffers(texts)
    chars, words = np.zeros((2, len(texts)), np.int64)
    gaps = np.empty(int(np.diff(offsets).max(initial=0)), np.uint8)
    _sizes(data, offsets, byte_kinds(), char_classes(), gaps, chars, words)
    return chars, words


@functools.cache
def byte_signs(sought: bytes = b"") -> np.ndarray:
    """Return what each byte says, (256,) uint8; letters are those of ASCII, `sought` is the caller's choice."""
    signs = np.zeros(256, np.uint8)
    signs[0x80:] |= IS_WIDE
    signs[[code for code in range(0x80) if chr(code).isalpha()]] |= IS_LETTER
    signs[list(sought)] |= IS_SOUGHT
    return signs


def find_words_one(text: bytes, signs: np.ndarray) -> list[tuple[int, int, int]]:
    """Return where each word begins and ends, and the signs of its bytes: the reference that `find_words` equals."""
    found, place = [], 0
    for word in text.decode().split():
        encoded = word.encode()
        place = text.index(encoded, place)
        found.append((place, place + len(encoded), int(np.bitwise_or.reduce(signs[list(encoded)]))))
        place += len(encoded)
    return found


@kernel
def mark_gaps(text: Any, kinds: Any, classes: Any, gaps: Any) -> None:
    """Fill `gaps`, (bytes, and more) uint8, with 1 for the bytes of white space and 0 for others.

    Args:
        text: (bytes,) uint8, valid UTF-8.
        kinds: as of `byte_kinds`; classes: as of `char_classes`.
    """
    all_bits = np.uint8(0)
    for place in range(text.size):  # the white space of ASCII, which `kinds` has too: compared, many bytes at once
        byte = text[place]
        gaps[place] = (byte == 0x20) | ((byte >= 0x09) & (byte <= 0x0D)) | ((byte >= 0x1C) & (byte <= 0x1F))
        all_bits |= byte
    if all_bits >= 0x80:
        for place in range(text.size):
            if kinds[text[place]] == PERHAPS_GAP:
                char, size = decode(text, place)
                if classes[char] == SPACE:
                    gaps[place : place + size] = 1


@kernel
def find_words(text: Any, kinds: Any, classes: Any, signs: Any, gaps: Any, bounds: Any, found: Any) -> Any:
    """Return how many words a text has.

    Args:
        text, kinds, classes, gaps: as of `mark_gaps`.
        signs: as of `byte_signs`.
        bounds: (bytes + 2, and more) int64, filled: where each word begins and, one further, where it ends.
        found: (bytes + 2, and more) uint8, filled: one further than where a word's begin is in `bounds`, what its bytes
            say, all together; IS_WIDE may also come from white space that follows.
    """
    mark_gaps(text, kinds, classes, gaps)
    at, before, together = np.int64(0), np.int64(1), np.int64(0)
    for place in range(text.size):
        gap = np.int64(gaps[place])
        together = together & (before - 1) | np.int64(signs[text[place]])
        bounds[at], found[at] = place, together
        at += before ^ gap
        before = gap
    bounds[at], found[at] = text.size, together
    return (at + 1) >> 1


@kernel
def count_words(text: Any, kinds: Any, classes: Any, gaps: Any) -> Any:
    """Return how many words a text has; arguments as of `mark_gaps`."""
    mark_gaps(text, kinds, classes, gaps)
    if text.size == 0:
        return 0
    words = 1 - np.int64(gaps[0])
    for place in range(1, text.size):
        words += gaps[place - 1] & (gaps[place] ^ 1)
    return words


@kernel
def _sizes(data: Any, offsets: Any, kinds: Any, classes: Any, gaps: Any, chars: Any, words: Any) -> None:
    for number in range(offsets.size - 1):
        text = data[offsets[number] : offsets[number + 1]]
        chars[number], words[number] = count_chars(text), count_words(text, kinds, classes, gaps)


@kernel
def find_newlines(text: Any, places: Any) -> int:
    """Return how many newlines a text has; fills `places`, (bytes + 1, and more) int32, with where they are."""
    found = 0
    for place in range(text.size):
        places[found] = place
        found += text[place] == NEWLINE
    return found


@kernel
def is_blank(text: Any, start: int, stop: int, classes: Any) -> bool:
    """Return whether text[start:stop] has no word."""
    while start < stop:
        char, size = decode(text, start)
        if classes[char] != SPACE:
            return False
        start += size
    return True


@kernel
def count_chars(text: Any) -> int:
    """Return the characters of a text."""
    inner = 0
    for place in range(text.size):
        inner += text[place] & 0xC0 == 0x80
    return int(text.size) - inner


@kernel
def first_bytes(size: int) -> Any:
    """Return the mask of the first `size` bytes of a number, one or more, at most all."""
    return ~np.uint64(0) >> np.uint64(8 * (KEY_BYTES - min(size, KEY_BYTES)))


@kernel
def key_of_word(text: Any, start: int, stop: int) -> Any:
    """Return text[start:stop] as one number, uint64: a byte or more, of a word of more than KEY_BYTES the first."""
    size = min(stop - start, KEY_BYTES)
    if start + KEY_BYTES <= text.size:
        return eight_bytes(text, start) << np.uint64(8 * (KEY_BYTES - size))
    return _key_byte_by_byte(text, start, size)


@kernel
def _key_byte_by_byte(text: Any, start: int, size: int) -> Any:
    key = np.uint64(0)
    for at in range(size):
        key |= np.uint64(text[start + at]) << np.uint64(8 * (KEY_BYTES - size + at))
    return key


@kernel
def hash_span(text: Any, start: int, stop: int) -> Any:
    """Return a hash of text[start:stop], int64, made of eight bytes at a time."""
    key, place = np.uint64(stop - start), start
    while place + KEY_BYTES <= stop:
        key = (key ^ eight_bytes(text, place)) * _FACTOR
        key ^= key >> _HALF
        place += KEY_BYTES
    if place < stop:
        key = (key ^ key_of_word(text, place, stop)) * _FACTOR
        key ^= key >> _HALF
    return np.int64(key)


@kernel
def same_bytes(text: Any, first: int, second: int, size: int) -> bool:
    """Return whether `size` bytes at two places are equal, eight at a time; the last eight may be looked at twice."""
    if size < KEY_BYTES:
        return size == 0 or bool(key_of_word(text, first, first + size) == key_of_word(text, second, second + size))
    at = 0
    while at < size - KEY_BYTES and eight_bytes(text, first + at) == eight_bytes(text, second + at):
        at += KEY_BYTES
    if at < size - KEY_BYTES:
        return False
    last = size - KEY_BYTES
    return bool(eight_bytes(text, first + last) == eight_bytes(text, second + last))
