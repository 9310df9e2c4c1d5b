"""The kernels of phrases.py: phrases sought in a text, whatever the case of ASCII letters."""

from __future__ import annotations

from typing import Any

import numpy as np

from data_pipeline.clean.chars import (
    LETTER,
)
from data_pipeline.compiled import kernel
from data_pipeline.utf8 import decode, decode_last

ROLES, STARTS = 3, 4  # places in `Phrases.arrays`
HEAD, BRACKET, OPEN = 1, 2, 4  # what may begin at a byte, a bit each

_BRACKET, _OPEN, _ZERO, _NINE, _UNDERSCORE, _A, _Z, _CASE = 0x7B, 0x5B, 0x30, 0x39, 0x5F, 0x41, 0x5A, 0x20


@kernel
def mark_heads(text: Any, starts: Any, hits: Any) -> None:
    """Fill `hits` with HEAD where a phrase may begin, BRACKET at a curly bracket, OPEN at a square one."""
    for place in range(text.size):
        hits[place] = (text[place] == _BRACKET) * BRACKET | (text[place] == _OPEN) * OPEN
    second, third = text[1:], text[2:]
    for start in range(starts.shape[0]):
        one, two, three = starts[start, 0], starts[start, 1], starts[start, 2]
        for place in range(third.size):
            here = (text[place] | _CASE == one) & (second[place] | _CASE == two) & (third[place] | _CASE == three)
            hits[place] |= here * HEAD


@kernel
def look(data: Any, begin: int, end: int, within: Any, classes: Any) -> tuple[int, bool]:
    """Return the roles of the phrases in a line, and whether it has a curly bracket."""
    heads, phrase_data, phrase_offsets, roles, _ = within
    found, bracket, before = 0, False, np.int64(0)
    for place in range(begin, end):
        byte = np.int64(data[place])
        bracket |= byte == _BRACKET
        first = heads[before << 8 | byte]
        if first:
            phrase = _match_at(data, place - 1, end, first - 1, phrase_data, phrase_offsets, False, begin, classes)
            if phrase >= 0:
                found |= roles[phrase]
        before = byte
    return found, bracket


@kernel
def has_bad(data: Any, begin: int, end: int, bad: Any, classes: Any) -> bool:
    heads, bad_data, bad_offsets, _, _ = bad
    for place in range(begin, end - 1):
        first = heads[np.int64(data[place]) << 8 | np.int64(data[place + 1])]
        if first and _match_at(data, place, end, first - 1, bad_data, bad_offsets, True, begin, classes) >= 0:
            return True
    return False


@kernel
def _match_at(
    data: Any, place: int, stop: int, first: int, phrase_data: Any, phrase_offsets: Any, whole: bool, start: int,
    classes: Any,
) -> int:  # fmt: skip
    """Return the phrase that begins at `place`, or -1.

    Args:
        first: the first phrase that begins with these two bytes.
        whole: only where no character of a word stands before it, in data[start:stop], or after it.
    """
    head = phrase_offsets[first]
    for phrase in range(first, phrase_offsets.size - 1):
        begin, size = phrase_offsets[phrase], phrase_offsets[phrase + 1] - phrase_offsets[phrase]
        if phrase_data[begin] != phrase_data[head] or phrase_data[begin + 1] != phrase_data[head + 1]:
            return -1
        if size > stop - place:
            continue
        at = 2
        while at < size and _lower(data[place + at]) == phrase_data[begin + at]:
            at += 1
        if at == size and (not whole or _stands_alone(data, start, place, place + size, stop, classes)):
            return phrase
    return -1


@kernel
def _lower(byte: int) -> int:
    return byte | _CASE if _A <= byte <= _Z else byte


@kernel
def _stands_alone(data: Any, start: int, first: int, last: int, stop: int, classes: Any) -> bool:
    if first > start and _is_word_char(decode_last(data, start, first)[0], classes):
        return False
    return last == stop or not _is_word_char(decode(data, last)[0], classes)


@kernel
def _is_word_char(char: int, classes: Any) -> bool:
    return classes[char] == LETTER or _ZERO <= char <= _NINE or char == _UNDERSCORE
