"""Where pieces of text end, over UTF-8 bytes: the patterns of `split`, written out as their engine goes through them.

White space is gone through three times at most, all else twice: nothing is quadratic in a run's length.
"""

from __future__ import annotations

from typing import Any

from data_pipeline.compiled import kernel
from data_pipeline.tokenize.split import CL100K, LETTER, LINE_END, NUMBER, OTHER, SPACE
from data_pipeline.utf8 import decode

_APOSTROPHE, _GAP = 0x27, 0x20
_SMALL = 0x20  # the bit that makes an ASCII letter small
_S, _T, _R, _E, _V, _M, _L, _D = 0x73, 0x74, 0x72, 0x65, 0x76, 0x6D, 0x6C, 0x64
_LONG_S = (0xC5, 0xBF)  # U+017F in UTF-8, which is an s where case is ignored


@kernel
def piece_end(data: Any, place: int, stop: int, split: int, classes: Any) -> int:
    """Return where the piece ends that begins at `place`.

    Args:
        data: (n,) uint8, valid UTF-8.
        place: the beginning of a piece; stop: of the text, after it.
        split: GPT2 or CL100K.
        classes: as of `char_classes`.
    """
    if split == CL100K:
        return _cl100k_end(data, place, stop, classes)
    return _gpt2_end(data, place, stop, classes)


@kernel
def split_text(data: Any, split: int, classes: Any, ends: Any) -> int:
    """Return how many pieces a text has; fills `ends`, (bytes, and more) int64, with where each ends."""
    place, found = 0, 0
    while place < data.size:
        place = piece_end(data, place, data.size, split, classes)
        ends[found] = place
        found += 1
    return found


@kernel
def _kind(data: Any, place: int, classes: Any) -> tuple[Any, int]:
    """Return the class of the character at `place`, and its size in bytes."""
    byte = data[place]
    if byte < 0x80:
        return classes[byte], 1
    char, size = decode(data, place)
    return classes[char], size


@kernel
def _run(data: Any, place: int, stop: int, wanted: int, classes: Any) -> int:
    """Return where the run of characters of one class ends that begins at `place`, and may be empty."""
    while place < stop:
        kind, size = _kind(data, place, classes)
        if kind != wanted:
            break
        place += size
    return place


@kernel
def _contraction(data: Any, place: int, stop: int, case: int) -> int:
    """Return the bytes of a contraction at an apostrophe, 0 where there is none.

    Args:
        case: _SMALL to ignore it, else 0.
    """
    if place + 1 >= stop:
        return 0
    first = data[place + 1]
    if case and first == _LONG_S[0] and data[place + 2] == _LONG_S[1]:
        return 3
    first |= case
    if first in (_S, _T, _M, _D):
        return 2
    if place + 2 >= stop:
        return 0
    second = data[place + 2] | case
    if (second == _E and first in (_R, _V)) or (first == _L and second == _L):
        return 3
    return 0


@kernel
def _gpt2_end(data: Any, place: int, stop: int, classes: Any) -> int:
    if data[place] == _APOSTROPHE:
        size = _contraction(data, place, stop, 0)
        if size:
            return place + size
    kind, size = _kind(data, place, classes)
    if data[place] == _GAP and place + 1 < stop:
        kind, size = _kind(data, place + 1, classes)
        size += 1
    if kind in (SPACE, LINE_END):
        return _space_end(data, place, stop, classes)
    return _run(data, place + size, stop, kind, classes)


@kernel
def _cl100k_end(data: Any, place: int, stop: int, classes: Any) -> int:
    if data[place] == _APOSTROPHE:
        size = _contraction(data, place, stop, _SMALL)
        if size:
            return place + size
    kind, size = _kind(data, place, classes)
    if kind == LETTER:
        return _run(data, place + size, stop, LETTER, classes)
    if kind == NUMBER:
        return _numbers_end(data, place, stop, classes)
    if kind == LINE_END:
        return _lines_end(data, place, stop, classes)
    following = place + size
    next_kind, next_size = OTHER, 0
    if following < stop:
        next_kind, next_size = _kind(data, following, classes)
        if next_kind == LETTER:
            return _run(data, following + next_size, stop, LETTER, classes)
    if kind == OTHER or (data[place] == _GAP and next_size and next_kind == OTHER):
        end = _run(data, following, stop, OTHER, classes)
        return _run(data, end, stop, LINE_END, classes)
    return _lines_end(data, place, stop, classes)


@kernel
def _numbers_end(data: Any, place: int, stop: int, classes: Any) -> int:
    """Return where one to three numbers end."""
    for _ in range(3):
        if place == stop:
            break
        kind, size = _kind(data, place, classes)
        if kind != NUMBER:
            break
        place += size
    return place


@kernel
def _lines_end(data: Any, place: int, stop: int, classes: Any) -> int:
    """Return where white space that begins at `place` ends: behind its last line end, where it has one."""
    at, end = place, place
    while at < stop:
        kind, size = _kind(data, at, classes)
        if kind != SPACE and kind != LINE_END:
            break
        at += size
        if kind == LINE_END:
            end = at
    return end if end > place else _space_end(data, place, stop, classes)


@kernel
def _space_end(data: Any, place: int, stop: int, classes: Any) -> int:
    """Return where white space that begins at `place` ends: before its last character, which goes with what follows."""
    at, last = place, place
    while at < stop:
        kind, size = _kind(data, at, classes)
        if kind != SPACE and kind != LINE_END:
            return at if last == place else last
        last = at
        at += size
    return at
