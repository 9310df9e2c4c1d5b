"""What C4 does to the lines of a text, and what it counts in those it keeps. In plain Python, and as a kernel.

Lines go through the steps below in this order. A line that goes is not looked at by later steps, so a curly bracket in
it takes no document out; so C4's own code has it (tensorflow_datasets, text/c4_utils.py).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from data_pipeline.clean.chars import (
    INNER,
    NEWLINE,
    byte_kinds,
    char_classes,
    char_set,
    decode_last,
    gap_size,
    kernel,
    stripped,
)
from data_pipeline.clean.phrases import Phrases, is_word_char, lower_ascii, match_at
from data_pipeline.clean.rules import EXAMPLES
from data_pipeline.clean.sentences import count_sentences, count_sentences_one, ends_of_sentences
from data_pipeline.documents import utf8_buffers

LOREM, JAVASCRIPT = "lorem ipsum", "javascript"
POLICIES = (
    "terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies",
)  # fmt: skip
ELLIPSIS = "..."
# Kinds of changes, in the order of the steps
(BLANK, LONG_WORD, CITATION, NO_END_MARK, FEW_WORDS, JAVASCRIPT_LINE, POLICY_LINE, STRIPPED) = range(8)
KINDS = (
    "c4_lines_without_words_removed",
    "c4_lines_with_long_words_removed",
    "c4_citations_removed",
    "c4_lines_without_end_mark_removed",
    "c4_lines_of_few_words_removed",
    "c4_javascript_lines_removed",
    "c4_policy_lines_removed",
    "c4_lines_stripped",
)
# Columns of the counts of a text, in lines, the sentences aside
SENTENCES, LOREM_LINES, BRACKET_LINES, BAD_LINES = range(4)
NUM_COUNTS = 4

_CITATION = re.compile(r"\[[0-9]*\]|\[edit\]|\[citation needed\]")
_LOREM_ROLE, _JAVASCRIPT_ROLE, _POLICY_ROLE = 1, 2, 4  # a bit each
_WITHIN = {LOREM: _LOREM_ROLE, JAVASCRIPT: _JAVASCRIPT_ROLE, **dict.fromkeys(POLICIES, _POLICY_ROLE)}
_NOTES = np.frombuffer(b"[edit][citation needed]", np.uint8)
_EDIT_BYTES = len("[edit]")
_OPEN, _CLOSE, _BRACKET, _DOT, _ZERO, _NINE = 0x5B, 0x5D, 0x7B, 0x2E, 0x30, 0x39


@dataclass(frozen=True, slots=True)
class LineRules:
    """What goes. Attributes as the arguments of C4; no `end_marks`: lines need none."""

    min_words: int
    max_word_chars: int
    end_marks: tuple[str, ...]
    citations: bool
    javascript: bool
    policies: bool
    bad_words: tuple[str, ...] = ()
    within: Phrases = field(init=False, repr=False)
    bad: Phrases = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "within", Phrases.of(_WITHIN))
        object.__setattr__(self, "bad", Phrases.of(dict.fromkeys(self.bad_words, 0)))


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What became of texts.

    Attributes:
        texts: as they are left.
        counts: (texts, NUM_COUNTS) int64.
        changed: how often, by kind.
        found: (m, 4) int64: of some changes the kind, the text, and where its line begins and ends in it, in bytes.
    """

    texts: pa.LargeStringArray
    counts: np.ndarray
    changed: Counter[str]
    found: np.ndarray


def clean_one(text: str, rules: LineRules) -> tuple[str, list[int], Counter[str]]:
    """Return one text as it is left, its counts and its changes: the reference that `clean_lines` equals."""
    kept: list[str] = []
    counts, changed = [0] * NUM_COUNTS, Counter[str]()
    for raw in text.split("\n") if text else []:
        line = raw.strip()
        if not line and rules.min_words > 0:
            changed[KINDS[BLANK]] += 1
            continue
        if any(len(word) > rules.max_word_chars for word in line.split()):
            changed[KINDS[LONG_WORD]] += 1
            continue
        citations = len(_CITATION.findall(line)) if rules.citations else 0
        if citations:
            line = without_citations(line)
        kind = _kind_of(line, rules, counts)
        if kind is not None:
            changed[KINDS[kind]] += 1
            continue
        changed[KINDS[CITATION]] += citations
        changed[KINDS[STRIPPED]] += not citations and line != raw
        counts[SENTENCES] += count_sentences_one(line)
        counts[BAD_LINES] += has_bad_word(line, rules.bad_words)
        kept.append(line)
    left = "\n".join(kept).strip("\n")
    changed[KINDS[BLANK]] += len(kept) - len(left.split("\n")) if left else len(kept)
    return left, counts, +changed


def _kind_of(line: str, rules: LineRules, counts: list[int]) -> int | None:
    """Return why a line goes, or None; count what takes documents out."""
    if rules.end_marks and (not line.endswith(rules.end_marks) or line.endswith(ELLIPSIS)):
        return NO_END_MARK
    if len(line.split()) < rules.min_words:
        return FEW_WORDS
    lower = lower_ascii(line)
    counts[LOREM_LINES] += LOREM in lower
    if rules.javascript and JAVASCRIPT in lower:
        return JAVASCRIPT_LINE
    counts[BRACKET_LINES] += "{" in line
    if rules.policies and any(policy in lower for policy in POLICIES):
        return POLICY_LINE
    return None


def without_citations(line: str) -> str:
    """Return a line without Wikipedia's citations and notes, and without white space around it."""
    return _CITATION.sub("", line).strip()


def has_bad_word(line: str, bad_words: Sequence[str]) -> bool:
    """Return whether one of the words stands in a line by itself, whatever the case of A to Z."""
    lower = lower_ascii(line)
    for word in map(lower_ascii, bad_words):
        place = lower.find(word)
        while place >= 0:
            beside = lower[:place][-1:] + lower[place + len(word) :][:1]
            if not any(map(is_word_char, beside)):
                return True
            place = lower.find(word, place + 1)
    return False


def clean_lines(texts: pa.LargeStringArray, rules: LineRules) -> Cleaned:
    """Return texts as they are left; the same array where nothing changes.

    Args:
        texts: without nulls.
    """
    data, offsets = utf8_buffers(texts)
    out = np.empty(offsets[-1] - offsets[0] + len(texts), np.uint8)
    out_offsets = np.zeros(len(offsets), np.int64)
    counts, by_kind = np.zeros((len(texts), NUM_COUNTS), np.int64), np.zeros(len(KINDS), np.int64)
    found = np.full((len(KINDS), EXAMPLES, 3), -1, np.int64)
    flags = bool(rules.end_marks), rules.citations, rules.javascript, rules.policies
    _clean(
        data, offsets, byte_kinds(), char_classes(), char_set(rules.end_marks), ends_of_sentences(), _NOTES,
        np.array([rules.min_words, rules.max_word_chars, *flags], np.int64),
        *rules.within.arrays(), *rules.bad.arrays(), out, out_offsets, counts, by_kind, found,
    )  # fmt: skip
    rows = [[kind, *found[kind, at]] for kind, at in np.argwhere(found[:, :, 0] >= 0).tolist()]
    if by_kind.any():
        buffers = pa.py_buffer(out_offsets), pa.py_buffer(out[: out_offsets[-1]])
        texts = pa.LargeStringArray.from_buffers(len(texts), *buffers)
    changed = +Counter(dict(zip(KINDS, by_kind.tolist(), strict=True)))
    return Cleaned(texts, counts, changed, np.array(rows, np.int64).reshape(-1, 4))


@kernel
def _clean(
    data: Any, offsets: Any, kinds: Any, classes: Any, is_end_mark: Any, ends: Any, notes: Any, settings: Any,
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
            place, first, last, words, longest = _scan(data, place, stop, kinds, classes)
            line_stop = place
            place += 1
            if words == 0 and min_words > 0:
                _note(BLANK, text, start, line_start, line_stop, by_kind, found)
                continue
            if longest > max_word_chars:
                _note(LONG_WORD, text, start, line_start, line_stop, by_kind, found)
                continue
            begin = filled
            end, num_citations = _copy(data, first, last, notes, citations, out, begin)
            if num_citations:
                begin, end = stripped(out, begin, end, kinds, classes)
                _, begin, end, words, _ = _scan(out, begin, end, kinds, classes)
            if needs_mark and not _ends_well(out, begin, end, is_end_mark):
                _note(NO_END_MARK, text, start, line_start, line_stop, by_kind, found)
                continue
            if words < min_words:
                _note(FEW_WORDS, text, start, line_start, line_stop, by_kind, found)
                continue
            roles_found, bracket = _look(out, begin, end, heads, phrase_data, phrase_offsets, roles, classes)
            counts[text, LOREM_LINES] += roles_found & _LOREM_ROLE > 0
            if javascript and roles_found & _JAVASCRIPT_ROLE:
                _note(JAVASCRIPT_LINE, text, start, line_start, line_stop, by_kind, found)
                continue
            counts[text, BRACKET_LINES] += bracket
            if policies and roles_found & _POLICY_ROLE:
                _note(POLICY_LINE, text, start, line_start, line_stop, by_kind, found)
                continue
            if num_citations:
                _note(CITATION, text, start, line_start, line_stop, by_kind, found)
                by_kind[CITATION] += num_citations - 1
            elif first > line_start or last < line_stop:
                _note(STRIPPED, text, start, line_start, line_stop, by_kind, found)
            counts[text, SENTENCES] += count_sentences(out, begin, end, ends, classes)
            if bad_roles.size:
                counts[text, BAD_LINES] += _has_bad(out, begin, end, bad_heads, bad_data, bad_offsets, classes)
            for at in range(begin, end):  # to the left, where a citation began the line
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
    if at < EXAMPLES:
        found[kind, at, 0], found[kind, at, 1], found[kind, at, 2] = text, line_start - start, line_stop - start
    by_kind[kind] = at + 1


@kernel
def _scan(data: Any, place: int, stop: int, kinds: Any, classes: Any) -> tuple[int, int, int, int, int]:
    """Return where the line at `place` ends, where its words begin and end, how many, and the longest's characters."""
    first, last, words, chars, longest = -1, place, 0, 0, 0
    line_start = place
    while place < stop:
        byte = data[place]
        kind = kinds[byte]
        if kind and kind != INNER:
            gap = gap_size(data, place, kinds, classes)
            if gap:
                if byte == NEWLINE:
                    break
                longest = max(longest, chars)
                chars = 0
                place += gap
                continue
        if chars == 0:
            words += 1
            if first < 0:
                first = place
        chars += kind != INNER
        place += 1
        last = place
    if first < 0:
        first, last = line_start, line_start
    return place, first, last, words, max(longest, chars)


@kernel
def _copy(data: Any, first: int, last: int, notes: Any, citations: bool, out: Any, filled: int) -> tuple[int, int]:
    """Copy data[first:last] to `out` without citations; return where it ends there, and how many were left out."""
    found, place = 0, first
    while place < last:
        byte = data[place]
        if citations and byte == _OPEN:
            size = _citation_size(data, place, last, notes)
            if size:
                found += 1
                place += size
                continue
        out[filled] = byte
        filled += 1
        place += 1
    return filled, found


@kernel
def _citation_size(data: Any, place: int, last: int, notes: Any) -> int:
    after = place + 1
    while after < last and _ZERO <= data[after] <= _NINE:
        after += 1
    if after < last and data[after] == _CLOSE:
        return after + 1 - place
    if _begins_with(data, place, last, notes, 0, _EDIT_BYTES):
        return _EDIT_BYTES
    if _begins_with(data, place, last, notes, _EDIT_BYTES, notes.size):
        return notes.size - _EDIT_BYTES
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
    found, bracket, before = 0, False, 0
    for place in range(begin, end):
        byte = np.int64(data[place])
        bracket |= byte == _BRACKET
        first = heads[before << 8 | byte]
        if first:
            phrase = match_at(data, place - 1, end, first - 1, phrase_data, phrase_offsets, False, begin, classes)
            if phrase >= 0:
                found |= roles[phrase]
        before = byte
    return found, bracket


@kernel
def _has_bad(data: Any, begin: int, end: int, heads: Any, bad_data: Any, bad_offsets: Any, classes: Any) -> bool:
    for place in range(begin, end - 1):
        first = heads[np.int64(data[place]) << 8 | np.int64(data[place + 1])]
        if first and match_at(data, place, end, first - 1, bad_data, bad_offsets, True, begin, classes) >= 0:
            return True
    return False
