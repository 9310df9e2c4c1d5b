"""The kernels of c4_lines.py: lines read, looked through and left out.

Kernels that call each other stand in this file, what reads single characters in chars.py: numba's cache on disk
doesn't notice a change of another file.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from data_pipeline.clean.chars import (
    GAP,
    INNER,
    LETTER,
    NEWLINE,
    PERHAPS_GAP,
    SPACE,
    decode,
    decode_last,
    gap_size,
    kernel,
)

# Kinds of changes, in the order of the steps
(BLANK, LONG_WORD, CITATION, NO_END_MARK, FEW_WORDS, JAVASCRIPT_LINE, POLICY_LINE, STRIPPED) = range(8)
# Columns of the counts of a text, in lines, the sentences aside
SENTENCES, LOREM_LINES, BRACKET_LINES, BAD_LINES = range(4)
NUM_COUNTS = 4
# What phrases within a line are looked for, a bit each
LOREM_ROLE, JAVASCRIPT_ROLE, POLICY_ROLE = 1, 2, 4
# What a character is to the end of a sentence; 0 is any other
MARK, CLOSER = 1, 2
NOTES = np.frombuffer(b"[edit][citation needed]", np.uint8)

_EDIT_BYTES = len("[edit]")
_OPEN, _CLOSE, _BRACKET, _DOT, _ZERO, _NINE, _UNDERSCORE = 0x5B, 0x5D, 0x7B, 0x2E, 0x30, 0x39, 0x5F
_A, _Z, _CASE = 0x41, 0x5A, 0x20


@kernel
def clean_texts(
    data: Any, offsets: Any, kinds: Any, classes: Any,
    is_end_mark: Any, mark_bytes: Any, ends: Any, notes: Any, settings: Any,
    heads: Any, phrase_data: Any, phrase_offsets: Any, roles: Any,
    bad_heads: Any, bad_data: Any, bad_offsets: Any, bad_roles: Any,
    out: Any, out_offsets: Any, counts: Any, by_kind: Any, found: Any,
) -> None:  # fmt: skip
    min_words, max_word_chars, needs_mark, citations, javascript, policies = settings
    filled = 0
    for text in range(offsets.size - 1):
        start, stop, text_filled = offsets[text], offsets[text + 1], filled
        place = start
        while place <= stop and stop > start:
            line_start = place
            place, words, longest, opened = _scan(data, place, stop, kinds, classes)
            line_stop = place
            place += 1
            if words == 0 and min_words > 0:
                _note(BLANK, text, start, line_start, line_stop, by_kind, found)
                continue
            if longest > max_word_chars:
                _note(LONG_WORD, text, start, line_start, line_stop, by_kind, found)
                continue
            first, last = stripped(data, line_start, line_stop, kinds, classes)
            begin, num_citations = filled, 0
            if citations and opened:
                end, num_citations = _copy(data, first, last, notes, out, begin)
            else:
                end = begin + last - first
                source, target = data[first:last], out[begin:end]
                for at in range(source.size):
                    target[at] = source[at]
            if num_citations:
                begin, end = stripped(out, begin, end, kinds, classes)
                words = _scan(out, begin, end, kinds, classes)[1]
            if needs_mark and not _ends_well(out, begin, end, is_end_mark):
                _note(NO_END_MARK, text, start, line_start, line_stop, by_kind, found)
                continue
            if words < min_words:
                _note(FEW_WORDS, text, start, line_start, line_stop, by_kind, found)
                continue
            roles_found, bracket = _look(out, begin, end, heads, phrase_data, phrase_offsets, roles, classes)
            counts[text, LOREM_LINES] += roles_found & LOREM_ROLE > 0
            if javascript and roles_found & JAVASCRIPT_ROLE:
                _note(JAVASCRIPT_LINE, text, start, line_start, line_stop, by_kind, found)
                continue
            counts[text, BRACKET_LINES] += bracket
            if policies and roles_found & POLICY_ROLE:
                _note(POLICY_LINE, text, start, line_start, line_stop, by_kind, found)
                continue
            if num_citations:
                _note(CITATION, text, start, line_start, line_stop, by_kind, found)
                by_kind[CITATION] += num_citations - 1
            elif first > line_start or last < line_stop:
                _note(STRIPPED, text, start, line_start, line_stop, by_kind, found)
            counts[text, SENTENCES] += count_sentences(out, begin, end, mark_bytes, ends, classes)
            if bad_roles.size:
                counts[text, BAD_LINES] += _has_bad(out, begin, end, bad_heads, bad_data, bad_offsets, classes)
            if begin > filled:  # a citation began the line
                for at in range(begin, end):
                    out[filled + at - begin] = out[at]
            filled += end - begin
            if filled > text_filled:
                out[filled] = NEWLINE
                filled += 1
            else:
                _note(BLANK, text, start, line_start, line_stop, by_kind, found)
        blank = -1  # the newline after the last line that has something goes with none
        while filled > text_filled and out[filled - 1] == NEWLINE:
            filled -= 1
            blank += 1
        by_kind[BLANK] += max(blank, 0)
        out_offsets[text + 1] = filled


@kernel
def _note(kind: int, text: int, start: int, line_start: int, line_stop: int, by_kind: Any, found: Any) -> None:
    """Count a change, and keep where it was while there is room."""
    at = by_kind[kind]
    if at < found.shape[1]:
        found[kind, at, 0], found[kind, at, 1], found[kind, at, 2] = text, line_start - start, line_stop - start
    by_kind[kind] = at + 1


@kernel
def _scan(data: Any, place: int, stop: int, kinds: Any, classes: Any) -> tuple[int, int, int, bool]:
    """Return where the line at `place` ends, its words, the longest's characters, whether it has an opening bracket.

    A byte of ASCII takes no branch.
    """
    words, chars, longest, after_gap, opened = 0, 0, 0, True, False
    while place < stop:
        byte = data[place]
        kind = kinds[byte]
        if byte == NEWLINE:
            break
        size = 1
        gap = kind == GAP
        if kind == PERHAPS_GAP:
            wide = gap_size(data, place, kinds, classes)
            gap = wide > 0
            size = max(wide, 1)
        opened |= byte == _OPEN
        words += after_gap and not gap
        chars = 0 if gap else chars + (kind != INNER)
        longest = max(longest, chars)
        after_gap = gap
        place += size
    return place, words, longest, opened


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


@kernel
def _look(
    data: Any, begin: int, end: int, heads: Any, phrase_data: Any, phrase_offsets: Any, roles: Any, classes: Any
) -> tuple[int, bool]:
    """Return the roles of the phrases in a line, and whether it has a curly bracket."""
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
def _has_bad(data: Any, begin: int, end: int, heads: Any, bad_data: Any, bad_offsets: Any, classes: Any) -> bool:
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


@kernel
def count_sentences(data: Any, start: int, stop: int, mark_bytes: Any, ends: Any, classes: Any) -> int:
    """Return the sentences of data[start:stop].

    Args:
        mark_bytes: which bytes begin a mark, as of `mark_bytes`.
        ends: as of `ends_of_sentences`; classes: as of `char_classes`.
    """
    sentences, begin = 0, start
    while True:
        end = sentence_end(data, start, begin, stop, mark_bytes, ends, classes)
        if end < 0:
            break
        sentences += 1
        begin = end
    while begin < stop:
        char, size = decode(data, begin)
        if classes[char] != SPACE:
            return sentences + 1
        begin += size
    return sentences


@kernel
def sentence_end(data: Any, start: int, place: int, stop: int, mark_bytes: Any, ends: Any, classes: Any) -> int:
    """Return where the first sentence ends that does so behind `place` in the line data[start:stop]; -1: none does."""
    while True:
        while place < stop and not mark_bytes[data[place]]:
            place += 1
        if place == stop:
            return -1
        char, size = decode(data, place)
        if ends[char] != MARK:
            place += size
            continue
        first, wide = place, False
        while place < stop:
            char, size = decode(data, place)
            if not ends[char]:
                break
            wide |= ends[char] == MARK and size > 1
            place += size
        alone = place - first == 1 and data[first] == _DOT
        if alone and _after_initial(data, start, first, classes):
            continue
        if wide or (place < stop and classes[decode(data, place)[0]] == SPACE):
            return place


@kernel
def _after_initial(data: Any, start: int, stop: int, classes: Any) -> bool:
    """Return whether data[start:stop] ends with a single letter."""
    if stop == start:
        return False
    char, place = decode_last(data, start, stop)
    if classes[char] != LETTER:
        return False
    return place == start or classes[decode_last(data, start, place)[0]] != LETTER


@kernel
def stripped(data: Any, start: int, stop: int, kinds: Any, classes: Any) -> tuple[int, int]:
    """Return where data[start:stop] begins and ends without the white space around it."""
    while start < stop:
        size = gap_size(data, start, kinds, classes)
        if not size:
            break
        start += size
    while start < stop:
        char, place = decode_last(data, start, stop)
        if classes[char] != SPACE:
            break
        stop = place
    return start, stop
