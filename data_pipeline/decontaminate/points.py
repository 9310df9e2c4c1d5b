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
_PIECE_CHARS = 1024  # of a text of which segments are sought: the less, the more normal forms are made of little
_REMEMBERED_CHARS = 64  # of a segment whose size is remembered: a letter and its marks, not megabytes of marks
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


def spans_in_text(text: str, starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the segments of a text that make up spans of its normal form, as bytes of the text, (h,) int64 each.

    Only the pieces of the text in which a span begins or ends are taken apart.

    Args:
        starts, ends: (h,) int64, UTF-8 bytes of normal(text); no span is empty.
    """
    pieces = list(_pieces(text))
    piece_sizes = np.array([(len(piece.encode()), len(normal(piece).encode())) for piece in pieces], np.int64)
    firsts = np.cumsum(piece_sizes, axis=0) - piece_sizes
    places = np.concatenate([starts, ends - 1])
    piece_of = np.searchsorted(firsts[:, 1], places, side="right") - 1
    order = np.argsort(piece_of, kind="stable")
    numbers, begins = np.unique(piece_of[order], return_index=True)
    found = np.empty((len(places), 2), np.int64)
    for number, rows in zip(numbers.tolist(), np.split(order, begins[1:]), strict=True):
        in_text, in_normal = np.cumsum(_segment_sizes(pieces[number]), axis=1)
        segment = np.searchsorted(in_normal, places[rows] - firsts[number, 1], side="right")
        found[rows, 1] = firsts[number, 0] + in_text[segment]
        found[rows, 0] = firsts[number, 0] + np.append(0, in_text)[segment]
    return found[: len(starts), 0], found[len(starts) :, 1]


def _pieces(text: str) -> Iterator[str]:
    """Yield a text in pieces of whole segments."""
    first = 0
    while first < len(text):
        border = _starter().search(text, first + _PIECE_CHARS)
        stop = border.start() if border else len(text)
        yield text[first:stop]
        first = stop


def _segment_sizes(text: str) -> np.ndarray:
    """Return the UTF-8 bytes of each segment, and those of its normal form, (2, s) int64."""
    points = _code_points(text)
    borders = segment_borders(text)
    in_text = np.add.reduceat(1 + (points > 0x7F) + (points > 0x7FF) + (points > 0xFFFF), borders[:-1])
    in_normal = in_text.copy()  # a segment of one byte is ASCII and stays one
    for segment in np.flatnonzero(in_text > 1).tolist():
        in_normal[segment] = _normal_size(text[borders[segment] : borders[segment + 1]])
    return np.stack([in_text, in_normal])


def _normal_size(segment: str) -> int:
    return _remembered_size(segment) if len(segment) <= _REMEMBERED_CHARS else len(normal(segment).encode())


@functools.lru_cache(4096)
def _remembered_size(segment: str) -> int:
    return len(normal(segment).encode())


def segment_borders(text: str) -> np.ndarray:
    """Return where the segments of a text begin and where it ends, in code points, (s + 1,) int64.

    Their normal forms, laid end to end, are the text's.
    """
    begins = ~_follow_each()[_code_points(text)]
    begins[:1] = True
    return np.append(np.flatnonzero(begins), len(text))


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


@functools.cache
def _follow_each() -> np.ndarray:
    follow = np.zeros(0x110000, bool)
    follow[[ord(char) for char in _special() if _follows(char)]] = True
    return follow


@functools.cache
def _starter() -> re.Pattern[str]:
    return re.compile(f"[^{''.join(map(chr, np.flatnonzero(_follow_each()).tolist()))}]")


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
        is_joined = form != char and unicodedata.normalize("NFC", char) == char  # else no normal form joins the pair
        pair = unicodedata.decomposition(char).split() if is_joined else []
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
