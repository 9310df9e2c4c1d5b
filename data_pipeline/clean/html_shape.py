"""The shape of a page, read off its tags in one pass: what makes parsers slow, or makes them swallow text.

Parsers take time and memory beyond all proportion on some shapes. Measured on resiliparse 2.0.1, main content: 10,000
nested `<div>` 3.5 s, 50,000 more than 20 s; 20,000 attributes of one tag 0.8 s, 200,000 more than 20 s; 20,000 options
of one `<select>` 6 s; 2,000 open `<font>` of different size, then 2,000 paragraphs (40 kB) 10 s and 1.5 GB. libxml2
silently drops what is nested deeper than 256. And a comment, a tag or a script that is never closed takes the rest of
the page with it, in every parser that follows the standard.

The tags are read as the HTML standard says (13.2.5); what is open after each of them is followed as far as time and
memory depend on it, and is an estimate: sloppy pages may count as a little deeper than parsers build them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from data_pipeline.clean.html_bytes import ends_name, is_letter, is_space, lower, next_byte, past_spaces
from data_pipeline.clean.html_names import (
    BARRIER,
    CELL,
    FNV_BASIS,
    FNV_PRIME,
    FOREIGN,
    FORMAT,
    HASH_MASK,
    HEADINGS,
    LAST,
    OPTIONAL,
    PLAIN,
    RAW,
    RUBY,
    SELECT,
    TABLE,
    VOID,
    WHOLE,
    name_hash,
    name_table,
)
from data_pipeline.compiled import array_kernel
from data_pipeline.documents import utf8_buffers

# Columns of what `shapes` returns.
DEPTH, ATTRIBUTES, OPTIONS, NODES, UNCLOSED = range(5)
NUM_COLUMNS = 5
SAME_FORMATS = 3  # of elements that are written alike no more are opened again (13.2.4.3, "Noah's Ark clause")

# What is known at a place of a page: sizes of the two lists, where a foreign element is open, sums.
_SIZE, _FORMATS, _FOREIGN_AT, _WHOLE, _IN_SELECT = range(5)
_NAME, _KIND, _PLACE = range(3)  # columns of the list of open elements
_A, _OPTION, _P = map(name_hash, ("a", "option", "p"))
_SCRIPT, _TABLE, _TEMPLATE = map(name_hash, ("script", "table", "template"))
_H1, _H2, _H3, _H4, _H5, _H6 = map(name_hash, HEADINGS)
# unsigned: where int64 overflows, numba 0.68 goes on as if it didn't, and equal numbers compare as different
_BASIS, _PRIME, _MASK = np.uint64(FNV_BASIS), np.uint64(FNV_PRIME), np.uint64(HASH_MASK)
_BANG, _QUOTE, _APOSTROPHE = 0x21, 0x22, 0x27
_DASH, _SLASH, _LT, _EQUALS, _GT, _QUESTION = 0x2D, 0x2F, 0x3C, 0x3D, 0x3E, 0x3F
_SCRIPT_NAME = np.frombuffer(b"script", dtype=np.uint8)


def shapes(pages: pa.LargeStringArray, max_depth: int) -> np.ndarray:
    """Return the shape of each page, (pages, NUM_COLUMNS) int64.

    DEPTH is the most elements open at once, those left out whose end tags nobody writes (`<p>`, `<li>`, `<td>`);
    ATTRIBUTES the most of one tag; OPTIONS the most in one `<select>`; NODES an estimate of how many a parser makes;
    UNCLOSED the bytes from a comment, tag, script, or the like that the page ends in, to its end.

    Args:
        pages: without nulls.
        max_depth: a deeper page is read no further.
    """
    data, offsets = utf8_buffers(pages)
    found = np.zeros((len(pages), NUM_COLUMNS), np.int64)
    _shapes(data, offsets, *name_table(), max_depth, found)
    return found


@array_kernel
def _shapes(data: Any, offsets: Any, hashes: Any, kinds: Any, max_depth: int, found: Any) -> None:
    stack = np.zeros((max_depth + 2, 3), np.int64)
    formats = np.zeros((max_depth + 2, 2), np.int64)
    state = np.zeros(5, np.int64)
    for page in range(offsets.size - 1):
        state[:] = 0
        state[_FOREIGN_AT] = -1
        start, stop = offsets[page], offsets[page + 1]
        unclosed = _read(data, start, stop, hashes, kinds, max_depth, stack, formats, state, found[page])
        for entry in range(state[_SIZE] if found[page, DEPTH] <= max_depth else 0):
            if stack[entry, _NAME] == _TEMPLATE:
                unclosed = min(unclosed, stack[entry, _PLACE])
                break
        found[page, UNCLOSED] = stop - unclosed


@array_kernel
def _read(
    data: Any, start: int, stop: int, hashes: Any, kinds: Any, max_depth: int, stack: Any, formats: Any, state: Any,
    found: Any,
) -> int:  # fmt: skip
    """Fill `found` with the shape of data[start:stop]; return where what is never closed begins, or `stop`."""
    place, in_text = start, False
    while place < stop:
        if data[place] != _LT or not _opens(data, place + 1, stop):
            found[NODES] += not in_text
            in_text = True
            place = next_byte(data, place + 1, stop, _LT)
            continue
        in_text = False
        is_end = data[place + 1] == _SLASH
        first = place + 1 + is_end
        if not is_letter(data[first]):
            after = _past_markup(data, place, stop)
            found[NODES] += 1
            if after < 0:
                return place
            place = after
            continue
        name, name_stop = _name(data, first, stop)
        after, num_attributes, closes_itself = _past_attributes(data, name_stop, stop)
        if after < 0:
            return place
        kind = _kind(name, hashes, kinds)
        if kind == RAW and state[_FOREIGN_AT] >= 0:
            kind = PLAIN
        if is_end:
            found[NODES] += name == _P  # it makes a paragraph where none is open
            _close(name, kind, stack, formats, state)
            place = after
            continue
        found[NODES] += 1
        if kind == WHOLE:
            state[_WHOLE] += num_attributes
            num_attributes = state[_WHOLE]
        found[ATTRIBUTES] = max(found[ATTRIBUTES], num_attributes)
        if kind == LAST:
            return stop
        if kind == RAW:
            inside = _past_raw(data, first, name_stop, after, stop, name == _SCRIPT)
            if inside < 0:
                return place
            place = inside
            continue
        if not (closes_itself and kind == PLAIN and state[_FOREIGN_AT] >= 0):
            _open(data, place, after, name, kind, stack, formats, state, found)
        if state[_SIZE] + state[_FORMATS] > found[DEPTH]:
            found[DEPTH] = state[_SIZE] + state[_FORMATS]
            if found[DEPTH] > max_depth:
                return stop
        place = after
    return stop


@array_kernel
def _open(
    data: Any, place: int, after: int, name: int, kind: int, stack: Any, formats: Any, state: Any, found: Any
) -> None:
    """Take the start tag data[place:after] into the lists of what is open."""
    if kind == FORMAT:
        _open_format(data, place, after, name, formats, state)
        return
    if kind == SELECT:
        state[_IN_SELECT] = 0
        return
    if kind == OPTIONAL:
        if name == _OPTION:
            state[_IN_SELECT] += 1
            found[OPTIONS] = max(found[OPTIONS], state[_IN_SELECT])
        while state[_SIZE] and stack[state[_SIZE] - 1, _KIND] == PLAIN:
            state[_SIZE] -= 1
    elif kind == CELL:
        entry = state[_SIZE] - 1
        while entry >= 0 and stack[entry, _KIND] != TABLE:
            entry -= 1
        if entry >= 0:
            state[_SIZE] = entry + 1
    elif kind == RUBY:
        while state[_SIZE] and stack[state[_SIZE] - 1, _KIND] == RUBY:
            state[_SIZE] -= 1
    if state[_SIZE] <= state[_FOREIGN_AT]:
        state[_FOREIGN_AT] = -1
    if kind in (VOID, WHOLE):
        return
    if kind != PLAIN and kind != RUBY:
        found[NODES] += state[_FORMATS]
    if kind in (OPTIONAL, CELL):
        return
    if kind == FOREIGN and state[_FOREIGN_AT] < 0:
        state[_FOREIGN_AT] = state[_SIZE]
    stack[state[_SIZE], _NAME] = name
    stack[state[_SIZE], _KIND] = kind
    stack[state[_SIZE], _PLACE] = place
    state[_SIZE] += 1


@array_kernel
def _open_format(data: Any, place: int, after: int, name: int, formats: Any, state: Any) -> None:
    if name == _A:
        _close_format(name, formats, state)
    mixed = _BASIS
    for at in range(place, after):
        mixed = (mixed ^ np.uint64(data[at])) * _PRIME
    written = np.int64(mixed & _MASK)
    same, oldest = 0, -1
    for entry in range(state[_FORMATS] - 1, -1, -1):
        if formats[entry, 1] == written:
            same, oldest = same + 1, entry
    if same == SAME_FORMATS:
        _remove(formats, oldest, state)
    formats[state[_FORMATS], 0] = name
    formats[state[_FORMATS], 1] = written
    state[_FORMATS] += 1


@array_kernel
def _close_format(name: int, formats: Any, state: Any) -> None:
    for entry in range(state[_FORMATS] - 1, -1, -1):
        if formats[entry, 0] == name:
            _remove(formats, entry, state)
            return


@array_kernel
def _remove(formats: Any, entry: int, state: Any) -> None:
    for later in range(entry + 1, state[_FORMATS]):
        formats[later - 1, 0] = formats[later, 0]
        formats[later - 1, 1] = formats[later, 1]
    state[_FORMATS] -= 1


@array_kernel
def _close(name: int, kind: int, stack: Any, formats: Any, state: Any) -> None:
    """Take an end tag into the lists of what is open: it closes its element, or nothing."""
    if kind == FORMAT:
        _close_format(name, formats, state)
    if kind == SELECT:
        state[_IN_SELECT] = 0
    for entry in range(state[_SIZE] - 1, -1, -1):
        if stack[entry, _NAME] == name:
            state[_SIZE] = entry
            if entry <= state[_FOREIGN_AT]:
                state[_FOREIGN_AT] = -1
            return
        inside = stack[entry, _KIND]
        if (kind in (PLAIN, RUBY)) and inside != PLAIN and inside != RUBY:
            return
        may_pass = name == _TEMPLATE or (name == _TABLE and stack[entry, _NAME] != _TEMPLATE)
        if inside in (BARRIER, TABLE) and not may_pass:
            return


@array_kernel
def _kind(name: int, hashes: Any, kinds: Any) -> int:
    slot = name & (hashes.size - 1)
    while hashes[slot] != 0:
        if hashes[slot] == name:
            return int(kinds[slot])
        slot = (slot + 1) & (hashes.size - 1)
    return PLAIN


@array_kernel
def _name(data: Any, place: int, stop: int) -> tuple[Any, int]:
    """Return the hash of the name that begins at `place`, one for all headings, and where it ends."""
    mixed = _BASIS
    while place < stop and not ends_name(data[place]):
        mixed = (mixed ^ np.uint64(lower(data[place]))) * _PRIME
        place += 1
    name: Any = np.int64(mixed & _MASK)
    if name in (_H2, _H3, _H4, _H5, _H6):
        name = _H1
    return name, place


@array_kernel
def _past_attributes(data: Any, place: int, stop: int) -> tuple[int, int, bool]:
    """Return where a tag whose name ends at `place` ends, -1 where it doesn't; its attributes; whether `/>` ends it."""
    num = 0
    while place < stop:
        byte = data[place]
        if byte == _GT:
            return place + 1, num, data[place - 1] == _SLASH
        if is_space(byte) or byte == _SLASH:
            place += 1
            continue
        num += 1
        place += 1
        while place < stop and not ends_name(data[place]) and data[place] != _EQUALS:
            place += 1
        place = past_spaces(data, place, stop)
        if place < stop and data[place] == _EQUALS:
            place = _past_value(data, place + 1, stop)
            if place < stop and data[place] == _GT:
                return place + 1, num, False  # a slash before it belongs to the value
    return -1, num, False


@array_kernel
def _past_value(data: Any, place: int, stop: int) -> int:
    """Return where the value of an attribute ends that begins at `place` or after spaces; `stop` where it doesn't."""
    place = past_spaces(data, place, stop)
    if place < stop and (data[place] == _QUOTE or data[place] == _APOSTROPHE):
        return min(next_byte(data, place + 1, stop, data[place]) + 1, stop)
    while place < stop and data[place] != _GT and not is_space(data[place]):
        place += 1
    return place


@array_kernel
def _past_markup(data: Any, place: int, stop: int) -> int:
    """Return where a comment, doctype or the like that begins at `place` ends; -1 where it doesn't."""
    is_comment = _begins_comment(data, place, stop)
    end = place + (4 if is_comment else 2)
    while True:
        end = next_byte(data, end, stop, _GT)
        if end == stop:
            return -1
        dashed = data[end - 1] == _DASH and data[end - 2] == _DASH
        if data[end - 1] == _BANG and end >= place + 7:
            dashed = data[end - 2] == _DASH and data[end - 3] == _DASH
        end += 1
        if dashed or not is_comment:
            return end


@array_kernel
def _begins_comment(data: Any, place: int, stop: int) -> bool:
    """Return whether the `<` at `place` begins a comment."""
    return place + 3 < stop and data[place + 1] == _BANG and data[place + 2] == _DASH and data[place + 3] == _DASH


@array_kernel
def _past_raw(data: Any, name: int, name_stop: int, place: int, stop: int, is_script: bool) -> int:
    """Return where the end tag begins of an element without tags inside, from `place` on; -1 where there is none.

    A script that begins a comment and in it another script ends after both (13.2.5.17 to 31).
    """
    depth = 0  # 1: in a comment, 2: in a script in it
    comment = place
    while place < stop:
        byte = data[place]
        if is_script and byte == _GT and depth and data[place - 1] == _DASH and data[place - 2] == _DASH:
            depth = 0 if place - 2 >= comment else depth
        elif byte == _LT and place + 1 < stop:
            if data[place + 1] == _SLASH and _same(data, name, name_stop, data, place + 2, stop):
                if depth < 2:
                    return place
                depth = 1
            elif depth == 1 and _same(_SCRIPT_NAME, 0, 6, data, place + 1, stop):
                depth = 2
            elif is_script and depth == 0 and _begins_comment(data, place, stop):
                depth, comment = 1, place + 2
                place += 3
        place += 1
    return -1


@array_kernel
def _same(name: Any, start: int, name_stop: int, data: Any, place: int, stop: int) -> bool:
    """Return whether data[place:] begins with a name, in any case, that ends there."""
    size = name_stop - start
    if place + size >= stop or not ends_name(data[place + size]):
        return False
    at = 0
    while at < size and lower(name[start + at]) == lower(data[place + at]):
        at += 1
    return at == size


@array_kernel
def _opens(data: Any, place: int, stop: int) -> bool:
    """Return whether what follows a `<` makes it more than text."""
    if place >= stop:
        return False
    if data[place] == _SLASH:
        return place + 1 < stop
    return data[place] == _BANG or data[place] == _QUESTION or is_letter(data[place])
