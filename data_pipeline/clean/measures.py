"""Counts of characters, words and lines, which the rules judge by. Once in plain Python, once as a kernel over bytes.

A word is what `str.split()` gives. A line ends with a newline; after a last newline no empty line follows.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import pyarrow as pa

from data_pipeline.documents import utf8_buffers

BULLETS = ("•", "-")  # as datatrove's GopherQualityFilter (0.10) reads "bullet point"
ELLIPSES = ("...", "…")
MAX_STOP_WORDS = 64  # a bit each

# Columns of what `measure` returns.
(CHARS, WORDS, WORD_CHARS, ALPHA_WORDS, STOP_WORDS, HASHES, NUM_ELLIPSES, LINES, BULLET_LINES, ELLIPSIS_LINES) = range(
    10
)
NUM_MEASURES = 10

_SPACE, _LETTER = 1, 2  # classes of characters; 0 is any other
_NEWLINE, _DOT, _HASH, _ELLIPSIS = 0x0A, 0x2E, 0x23, 0x2026
_BULLET_1, _BULLET_2 = (ord(bullet) for bullet in BULLETS)


@dataclass(frozen=True, slots=True)
class StopWords:
    """Words to look for, as the kernel reads them: UTF-8 bytes (n,) uint8, and where each word begins and ends."""

    data: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, words: tuple[str, ...]) -> StopWords:
        encoded = [word.encode() for word in words]
        offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
        return cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets)


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
    _measure(data, offsets, char_classes(), words.data, words.offsets, measures)
    return measures


@functools.cache
def char_classes() -> np.ndarray:
    """Return the class of every code point, (0x110000,) uint8, from `str.isspace` and `str.isalpha`; 0.1 s, once."""
    classes = bytearray(0x110000)
    for code in range(len(classes)):
        char = chr(code)
        classes[code] = _SPACE if char.isspace() else _LETTER if char.isalpha() else 0
    return np.frombuffer(bytes(classes), dtype=np.uint8)


@numba.njit(cache=True, nogil=True)
def _measure(data: Any, offsets: Any, classes: Any, stop_data: Any, stop_offsets: Any, measures: Any) -> None:
    for text in range(offsets.size - 1):
        _measure_text(data, offsets[text], offsets[text + 1], classes, stop_data, stop_offsets, measures[text])


@numba.njit(cache=True, nogil=True)
def _measure_text(
    data: Any, start: int, stop: int, classes: Any, stop_data: Any, stop_offsets: Any, measures: Any
) -> None:
    """Fill `measures` (NUM_MEASURES,) with those of the text data[start:stop], which is valid UTF-8."""
    place, word_start, has_letter = start, -1, False
    line_is_blank, ends_with_ellipsis, dots = True, False, 0
    seen_stop_words = np.uint64(0)
    while place < stop:
        char, size = decode(data, place)
        measures[CHARS] += 1
        char_class = classes[char]
        if char_class == _SPACE:
            if word_start >= 0:
                measures[ALPHA_WORDS] += has_letter
                seen_stop_words |= _stop_word_bit(data, word_start, place, stop_data, stop_offsets)
                word_start = -1
            dots = 0
            if char == _NEWLINE:
                measures[LINES] += 1
                measures[ELLIPSIS_LINES] += ends_with_ellipsis
                line_is_blank, ends_with_ellipsis = True, False
            place += size
            continue
        if word_start < 0:
            measures[WORDS] += 1
            word_start, has_letter = place, False
            if line_is_blank:
                measures[BULLET_LINES] += char in (_BULLET_1, _BULLET_2)
                line_is_blank = False
        measures[WORD_CHARS] += 1
        has_letter |= char_class == _LETTER
        measures[HASHES] += char == _HASH
        dots = dots + 1 if char == _DOT else 0
        ends_with_ellipsis = dots >= 3 or char == _ELLIPSIS
        measures[NUM_ELLIPSES] += char == _ELLIPSIS or (dots > 0 and dots % 3 == 0)
        place += size
    if word_start >= 0:
        measures[ALPHA_WORDS] += has_letter
        seen_stop_words |= _stop_word_bit(data, word_start, stop, stop_data, stop_offsets)
    if stop > start and data[stop - 1] != _NEWLINE:
        measures[LINES] += 1
        measures[ELLIPSIS_LINES] += ends_with_ellipsis
    while seen_stop_words:
        seen_stop_words &= seen_stop_words - np.uint64(1)
        measures[STOP_WORDS] += 1


@numba.njit(cache=True, nogil=True)
def decode(data: Any, place: int) -> tuple[Any, int]:
    """Return the code point at `place` of valid UTF-8, and its size in bytes."""
    first = np.int64(data[place])
    if first < 0x80:
        return first, 1
    if first < 0xE0:
        return (first & 0x1F) << 6 | (data[place + 1] & 0x3F), 2
    if first < 0xF0:
        return (first & 0x0F) << 12 | (data[place + 1] & 0x3F) << 6 | (data[place + 2] & 0x3F), 3
    upper = (first & 0x07) << 18 | (data[place + 1] & 0x3F) << 12
    return upper | (data[place + 2] & 0x3F) << 6 | (data[place + 3] & 0x3F), 4


@numba.njit(cache=True, nogil=True)
def _stop_word_bit(data: Any, start: int, stop: int, stop_data: Any, stop_offsets: Any) -> Any:
    """Return the bit of the stop word that the word data[start:stop] is, or 0."""
    for word in range(stop_offsets.size - 1):
        first = stop_offsets[word]
        if stop_offsets[word + 1] - first != stop - start:
            continue
        place = 0
        while place < stop - start and data[start + place] == stop_data[first + place]:
            place += 1
        if place == stop - start:
            return np.uint64(1) << np.uint64(word)
    return np.uint64(0)
