"""The kernels of c4_lines.py: lines read, looked through and left out."""

from __future__ import annotations

from typing import Any

import numpy as np

from data_pipeline.clean.bounds import (
    KEY_BYTES,
    find_newlines,
    first_bytes,
    mark_gaps,
)
from data_pipeline.clean.chars import (
    NEWLINE,
    SPACE,
    stripped,
)
from data_pipeline.clean.phrase_kernels import BRACKET, HEAD, OPEN, ROLES, STARTS, has_bad, look, mark_heads
from data_pipeline.clean.sentences import count_sentences
from data_pipeline.compiled import kernel
from data_pipeline.utf8 import decode, decode_last, eight_bytes

# Kinds of changes, in the order of the steps
(BLANK, LONG_WORD, CITATION, NO_END_MARK, FEW_WORDS, JAVASCRIPT_LINE, POLICY_LINE, STRIPPED) = range(8)
# Columns of the counts of a text, in lines, the sentences aside
SENTENCES, LOREM_LINES, BRACKET_LINES, BAD_LINES = range(4)
NUM_COUNTS = 4
# What phrases within a line are looked for, a bit each
LOREM_ROLE, JAVASCRIPT_ROLE, POLICY_ROLE = 1, 2, 4
NOTES = np.frombuffer(b"[edit][citation needed]", np.uint8)

_EDIT_BYTES = len("[edit]")
_OPEN, _CLOSE, _BRACKET, _DOT, _ZERO, _NINE, _UNDERSCORE = 0x5B, 0x5D, 0x7B, 0x2E, 0x30, 0x39, 0x5F
_ONES = np.uint64(0x0101010101010101)
_A, _Z, _CASE = 0x41, 0x5A, 0x20


@kernel
def clean_texts(
    data: Any, offsets: Any, chars: Any, sentence: Any, notes: Any, settings: Any, within: Any, bad: Any, rooms: Any,
    out: Any, out_offsets: Any, counts: Any, by_kind: Any, found: Any,
) -> None:  # fmt: skip
    """Fill what `Cleaned` holds.

    Args:
        chars: byte_kinds, char_classes, and which code points end a line well.
        sentence: mark_bytes and ends_of_sentences.
        within, bad: as of `Phrases.arrays`.
        rooms: for the longest text: gaps, hits of the heads of phrases, places of newlines.
    """
    gaps, hits, newlines = rooms
    filled = 0
    for number in range(offsets.size - 1):
        text, text_filled, first = data[offsets[number] : offsets[number + 1]], filled, 0
        num_lines = _read(text, chars, within, rooms) if text.size else 0
        for line in range(num_lines):
            last = newlines[line] if line + 1 < num_lines else text.size
            kind, begin, end, num_citations = _clean_line(
                text, first, last, gaps, hits, filled, chars, notes, settings, within, out, counts[number]
            )
            if kind >= 0:
                _note(kind, number, first, last, by_kind, found)
                by_kind[kind] += max(num_citations - 1, 0)
            first = last + 1
            if kind >= 0 and kind not in (CITATION, STRIPPED):
                continue
            counts[number, SENTENCES] += count_sentences(out, begin, end, sentence[0], sentence[1], chars[1])
            if bad[ROLES].size:
                counts[number, BAD_LINES] += has_bad(out, begin, end, bad, chars[1])
            if begin > filled:  # a citation began the line
                for at in range(begin, end):
                    out[filled + at - begin] = out[at]
            filled += end - begin
            if filled > text_filled:
                out[filled] = NEWLINE
                filled += 1
            else:
                _note(BLANK, number, first, first, by_kind, found)
        blank = -1  # the newline after the last line that has something goes with none
        while filled > text_filled and out[filled - 1] == NEWLINE:
            filled -= 1
            blank += 1
        by_kind[BLANK] += max(blank, 0)
        out_offsets[number + 1] = filled


@kernel
def _read(text: Any, chars: Any, within: Any, rooms: Any) -> int:
    """Fill the rooms for a text; return how many lines it has."""
    gaps, hits, newlines = rooms
    mark_gaps(text, chars[0], chars[1], gaps)
    mark_heads(text, within[STARTS], hits)
    return find_newlines(text, newlines) + 1


@kernel
def _clean_line(
    text: Any, first: int, last: int, gaps: Any, hits: Any, filled: int, chars: Any, notes: Any, settings: Any,
    within: Any, out: Any, counts: Any,
) -> tuple[int, int, int, int]:  # fmt: skip
    """Copy a line to `out` as it is left, to where that is filled, or a little further.

    Returns:
        (its kind of change or -1, where it begins and ends in `out`, how many citations were left out).
    """
    min_words, max_word_chars, needs_mark, citations, javascript, policies = settings
    line_start, line_stop = first, last
    while first < last and gaps[first]:
        first += 1
    while first < last and gaps[last - 1]:
        last -= 1
    if first == last and min_words > 0:
        return BLANK, filled, filled, 0
    if last - first > max_word_chars and _longest_word(text, first, last, gaps) > max_word_chars:
        return LONG_WORD, filled, filled, 0
    begin, end, num_citations = filled, filled + last - first, 0
    hit = _together(hits, first, last)
    if citations and hit & np.uint64(OPEN):
        end, num_citations = _copy(text, first, last, notes, out, begin)
    else:
        source, target = text[first:last], out[begin:end]
        for at in range(source.size):
            target[at] = source[at]
    if num_citations:
        begin, end = stripped(out, begin, end, chars[1])
        words = _count_words_slowly(out, begin, end, chars[1])
    else:
        words = _count_begins(gaps, first, last) if first < last else 0
    if needs_mark and not _ends_well(out, begin, end, chars[2]):
        return NO_END_MARK, begin, end, 0
    if words < min_words:
        return FEW_WORDS, begin, end, 0
    if num_citations or hit & np.uint64(HEAD | BRACKET):
        roles, bracket = look(out, begin, end, within, chars[1])
        counts[LOREM_LINES] += roles & LOREM_ROLE > 0
        if javascript and roles & JAVASCRIPT_ROLE:
            return JAVASCRIPT_LINE, begin, end, 0
        counts[BRACKET_LINES] += bracket
        if policies and roles & POLICY_ROLE:
            return POLICY_LINE, begin, end, 0
    if num_citations:
        return CITATION, begin, end, num_citations
    is_stripped = first > line_start or last < line_stop
    return STRIPPED if is_stripped else -1, begin, end, 0


@kernel
def _note(kind: int, text: int, line_start: int, line_stop: int, by_kind: Any, found: Any) -> None:
    """Count a change, and keep where it was while there is room."""
    at = by_kind[kind]
    if at < found.shape[1]:
        found[kind, at, 0], found[kind, at, 1], found[kind, at, 2] = text, line_start, line_stop
    by_kind[kind] = at + 1


@kernel
def _longest_word(text: Any, first: int, last: int, gaps: Any) -> int:
    """Return the characters of the longest word of text[first:last]."""
    longest, chars = 0, 0
    for place in range(first, last):
        chars = 0 if gaps[place] else chars + (text[place] & 0xC0 != 0x80)
        longest = max(longest, chars)
    return longest


@kernel
def _count_begins(gaps: Any, first: int, last: int) -> int:
    """Return how many words a stripped line has, not empty: its first, and those that begin after a gap.

    Eight bytes at a time, as `_together`: lines are too short for what the compiler does with more.
    """
    words, place = np.uint64(1), first
    while place + 1 < last:
        begins = eight_bytes(gaps, place) & (eight_bytes(gaps, place + 1) ^ _ONES)
        begins &= first_bytes(last - 1 - place)
        words += begins * _ONES >> np.uint64(56)
        place += KEY_BYTES
    return int(words)


@kernel
def _count_words_slowly(data: Any, place: int, stop: int, classes: Any) -> int:
    words, after_gap = 0, True
    while place < stop:
        char, size = decode(data, place)
        gap = classes[char] == SPACE
        words += after_gap and not gap
        after_gap = gap
        place += size
    return words


@kernel
def _together(hits: Any, first: int, last: int) -> Any:
    """Return the bits that are set in any byte of hits[first:last], in each byte of a number."""
    bits, place = np.uint64(0), first
    while place < last:
        bits |= eight_bytes(hits, place) & first_bytes(last - place)
        place += KEY_BYTES
    bits |= bits >> np.uint64(32)
    bits |= bits >> np.uint64(16)
    return bits | bits >> np.uint64(8)


@kernel
def _copy(data: Any, first: int, last: int, notes: Any, out: Any, filled: int) -> tuple[int, int]:
    """Copy data[first:last] to `out` without citations; return where it ends there, and how many were left out."""
    found, place = 0, first
    while place < last:
        size = _citation_size(data, place, last, notes) if data[place] == _OPEN else 0
        if size:
            found += 1
            place += size
            continue
        out[filled] = data[place]
        filled += 1
        place += 1
    return filled, found


@kernel
def _citation_size(data: Any, place: int, last: int, notes: Any) -> int:
    """Return the bytes of the citation or note at `place`, an opening bracket; 0 where it is none."""
    after = place + 1
    while after < last and _ZERO <= data[after] <= _NINE:
        after += 1
    if after < last and data[after] == _CLOSE:
        return after + 1 - place
    if _begins_with(data, place, last, notes, 0, _EDIT_BYTES):
        return _EDIT_BYTES
    if _begins_with(data, place, last, notes, _EDIT_BYTES, notes.size):
        return int(notes.size) - _EDIT_BYTES
    return 0


@kernel
def _begins_with(data: Any, place: int, last: int, notes: Any, begin: int, end: int) -> bool:
    if end - begin > last - place:
        return False
    at = 0
    while at < end - begin and data[place + at] == notes[begin + at]:
        at += 1
    return at == end - begin


@kernel
def _ends_well(data: Any, begin: int, end: int, is_end_mark: Any) -> bool:
    """Return whether a line ends with a mark, and with no ellipsis."""
    if begin == end or not is_end_mark[decode_last(data, begin, end)[0]]:
        return False
    return end - begin < 3 or data[end - 1] != _DOT or data[end - 2] != _DOT or data[end - 3] != _DOT
