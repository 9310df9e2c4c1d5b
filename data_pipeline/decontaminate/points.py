"""What kernels know of each code point: the words of decontaminate.words without Python's normal form in between.

Normal forms depend on neighbours: a mark may join the letter before it, or change places with the mark before it. So a
text is cut into *segments*, each a code point that joins nothing before it (a starter) and what follows up to the next
such. The normal form of the text is that of its segments laid end to end. A starter alone is looked up in a table; so
is each code point of a longer segment where that is known to be the same, else the kernel gives the document up and
Python makes its normal form.
Source of the conditions: Unicode Standard Annex 15, section 9, "detecting normalization forms".
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np

from data_pipeline.decontaminate.kernels import (
    EXPANDS,
    FOLLOWS,
    IRREGULAR,
    KIND_SHIFT,
    LETTER,
    TAKES_MARKS,
    TAKES_NOTHING,
    Points,
)
from data_pipeline.decontaminate.words import ASSIGNED, char_classes, normal

_SEPARATOR = "\0"
_VOWELS, _TAILS = range(0x1161, 0x1176), range(0x11A8, 0x11C3)  # of Hangul, which join the letters before them


class _Joins(NamedTuple):
    """Code points that normal forms join: the first of a pair, the second of a pair."""

    firsts: frozenset[str]
    seconds: frozenset[str]


@functools.cache
def folding_points() -> Points:
    """Return the table for any text."""
    classes = char_classes()
    entries = np.arange(0x110000, dtype=np.uint32) | classes.astype(np.uint32) << np.uint32(KIND_SHIFT)
    joins = np.zeros(0x110000, np.uint16)
    expansions: list[int] = []
    for char in _special():
        joins[ord(char)] = _joining(char)
        folded = normal(char)
        if folded != char:
            entries[ord(char)] = _entry(folded, classes, expansions)
    return Points(entries, joins, np.array(expansions, np.uint32), _letters(entries))


@functools.cache
def normal_points() -> Points:
    """Return the table for a text in its normal form."""
    entries = np.arange(0x110000, dtype=np.uint32) | char_classes().astype(np.uint32) << np.uint32(KIND_SHIFT)
    return Points(entries, np.zeros(0x110000, np.uint16), np.zeros(0, np.uint32), _letters(entries))


def _letters(entries: np.ndarray) -> np.ndarray:
    letters = np.zeros(0x100, np.uint8)
    is_letter = entries[:0x80] >> np.uint32(KIND_SHIFT) == LETTER
    letters[:0x80][is_letter] = entries[:0x80][is_letter] & np.uint32(0x7F)
    return letters


def segments(text: str) -> Iterator[str]:
    """Yield the segments of a text; their normal forms, laid end to end, are the text's."""
    return (match.group() for match in _segment().finditer(text))


def segment_sizes(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the UTF-8 bytes of each segment, and those of its normal form, (s,) int64 each."""
    sizes = []
    for part in _run_or_segment().findall(text):
        # in a run of ASCII each byte is a segment, and its normal form a byte
        size = (1, 1, len(part)) if part.isascii() else (len(part.encode()), len(normal(part).encode()), 1)
        sizes.append(size)
    in_text, in_normal, times = np.array(sizes, np.int64).reshape(-1, 3).T
    return np.repeat(in_text, times), np.repeat(in_normal, times)


@functools.cache
def _run_or_segment() -> re.Pattern[str]:
    return re.compile(f"[\0-\x7f]+(?=[\0-\x7f]|$)|{_segment().pattern}")


@functools.cache
def _segment() -> re.Pattern[str]:
    following = "".join(char for char in _special() if _follows(char))
    return re.compile(f"[^{following}][{following}]*|[{following}]+")


def _entry(folded: str, classes: np.ndarray, expansions: list[int]) -> np.uint32:
    """Return the entry of a code point that becomes others; these are added to the expansions: their number, then
    themselves with their classes."""
    points = [np.uint32(ord(each)) | np.uint32(classes[ord(each)]) << np.uint32(KIND_SHIFT) for each in folded]
    if len(points) == 1:
        return points[0]
    expansions += [len(points), *map(int, points)]
    return np.uint32(len(expansions) - len(points) - 1) | np.uint32(EXPANDS << KIND_SHIFT)


def _joining(char: str) -> int:
    """Return how a code point joins its neighbours: its combining class and flags."""
    is_itself = unicodedata.normalize("NFKC", char) == char
    folded = char.casefold()
    if _follows(char):
        is_regular = is_itself and folded == char
        second = TAKES_MARKS if char in _joins().seconds else 0
        return int(unicodedata.combining(char)) | FOLLOWS | (second if is_regular else IRREGULAR)
    if not is_itself or len(folded) != 1 or unicodedata.normalize("NFKC", folded) != folded:
        return TAKES_NOTHING
    return TAKES_MARKS if any(_may_join(each) for each in (char, folded)) else 0


def _may_join(char: str) -> bool:
    return char in _joins().firsts or unicodedata.normalize("NFD", char) != char


@functools.cache
def _follows(char: str) -> bool:
    """Return whether a code point may be joined with what stands before it, or change places with it."""
    forms = (char, unicodedata.normalize("NFKC", char).casefold())
    firsts = (unicodedata.normalize("NFKD", form)[:1] for form in forms)
    return any(first in _joins().seconds or unicodedata.combining(first) != 0 for first in firsts if first)


@functools.cache
def _joins() -> _Joins:
    firsts = {chr(point) for point in range(0x1100, 0x1113)}
    seconds = {chr(point) for part in (_VOWELS, _TAILS) for point in part}
    for char, form in _forms("NFD"):
        pair = unicodedata.decomposition(char).split() if form != char else []
        if len(pair) == 2:
            firsts.add(chr(int(pair[0], 16)))
            seconds.add(chr(int(pair[1], 16)))
    return _Joins(frozenset(firsts), frozenset(seconds))


@functools.cache
def _special() -> list[str]:
    """Return the code points that have another form, that join others or are joined: all that isn't just itself."""
    changed = {char for char, form in _forms("NFKD") if form != char}
    folded = {char for char in _assigned() if char.casefold() != char}
    marks = {char for char in _assigned() if unicodedata.combining(char)}
    return sorted(changed | folded | marks | _joins().firsts | _joins().seconds)


def _forms(form: Literal["NFD", "NFKD"]) -> Iterator[tuple[str, str]]:
    """Yield each code point with one of its normal forms, made all at once: a starter stands between them."""
    normalized = unicodedata.normalize(form, _SEPARATOR.join(_assigned()))
    return zip(_assigned(), normalized.split(_SEPARATOR), strict=True)


@functools.cache
def _assigned() -> list[str]:
    """Return the code points that a text may hold and that may be more than themselves."""
    points = (point for first, last in ASSIGNED for point in range(first, last + 1))
    return [chr(point) for point in points if point != ord(_SEPARATOR) and not 0xD800 <= point < 0xE000]
