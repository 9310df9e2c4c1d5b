"""Counts of characters, words and lines, which the rules judge by. Once in plain Python, once as a kernel over bytes.

A word is what `str.split()` gives. A line ends with a newline; after a last newline no empty line follows. Kernels
that call each other stand in this file, what reads single characters in chars.py: numba's cache on disk doesn't notice
a change of another file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from data_pipeline.clean.chars import LETTER, NEWLINE, SPACE, char_classes, decode, kernel
from data_pipeline.documents import utf8_buffers

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


@kernel
def _measure(data: Any, offsets: Any, classes: Any, stop_data: Any, stop_offsets: Any, measures: Any) -> None:
    for text in range(offsets.size - 1):
        _measure_text(data, offsets[text], offsets[text + 1], classes, stop_data, stop_offsets, measures[text])


@kernel
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
        if char_class == SPACE:
            if word_start >= 0:
                measures[ALPHA_WORDS] += has_letter
                seen_stop_words |= _stop_word_bit(data, word_start, place, stop_data, stop_offsets)
                word_start = -1
            dots = 0
            if char == NEWLINE:
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
        has_letter |= char_class == LETTER
        measures[HASHES] += char == _HASH
        dots = dots + 1 if char == _DOT else 0
        ends_with_ellipsis = dots >= 3 or char == _ELLIPSIS
        measures[NUM_ELLIPSES] += char == _ELLIPSIS or (dots > 0 and dots % 3 == 0)
        place += size
    if word_start >= 0:
        measures[ALPHA_WORDS] += has_letter
        seen_stop_words |= _stop_word_bit(data, word_start, stop, stop_data, stop_offsets)
    if stop > start and data[stop - 1] != NEWLINE:
        measures[LINES] += 1
        measures[ELLIPSIS_LINES] += ends_with_ellipsis
    while seen_stop_words:
        seen_stop_words &= seen_stop_words - np.uint64(1)
        measures[STOP_WORDS] += 1


@kernel
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
