"""What C4 does to the lines of a text, and what it counts in those it keeps. In plain Python, and as a kernel.

Lines go through the steps below in this order. A line that goes is not looked at by later steps, so a curly bracket in
it takes no document out; so C4's own code has it (tensorflow_datasets, text/c4_utils.py).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from data_pipeline.clean.bounds import KEY_BYTES
from data_pipeline.clean.c4_kernels import (
    BAD_LINES,
    BLANK,
    BRACKET_LINES,
    CITATION,
    FEW_WORDS,
    JAVASCRIPT_LINE,
    JAVASCRIPT_ROLE,
    LONG_WORD,
    LOREM_LINES,
    LOREM_ROLE,
    NO_END_MARK,
    NOTES,
    NUM_COUNTS,
    POLICY_LINE,
    POLICY_ROLE,
    SENTENCES,
    STRIPPED,
    clean_texts,
)
from data_pipeline.clean.chars import byte_kinds, char_classes, char_set
from data_pipeline.clean.phrases import Phrases, is_word_char, lower_ascii
from data_pipeline.clean.rules import EXAMPLES
from data_pipeline.clean.sentences import count_sentences_one, ends_of_sentences, mark_bytes
from data_pipeline.documents import utf8_buffers

LOREM, JAVASCRIPT = "lorem ipsum", "javascript"
POLICIES = (
    "terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies",
)  # fmt: skip
ELLIPSIS = "..."
KINDS = (  # of changes, in the order of the steps
    "c4_lines_without_words_removed",
    "c4_lines_with_long_words_removed",
    "c4_citations_removed",
    "c4_lines_without_end_mark_removed",
    "c4_lines_of_few_words_removed",
    "c4_javascript_lines_removed",
    "c4_policy_lines_removed",
    "c4_lines_stripped",
)
_CITATION = re.compile(r"\[[0-9]*\]|\[edit\]|\[citation needed\]")
_WITHIN = {LOREM: LOREM_ROLE, JAVASCRIPT: JAVASCRIPT_ROLE, **dict.fromkeys(POLICIES, POLICY_ROLE)}


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
    settings = np.array([rules.min_words, rules.max_word_chars, *flags], np.int64)
    chars = byte_kinds(), char_classes(), char_set(rules.end_marks)
    sentence = mark_bytes(), ends_of_sentences()
    longest = int(np.diff(offsets).max(initial=0))
    beyond = longest + 2 * KEY_BYTES  # the kernels read so far
    rooms = np.empty(beyond, np.uint8), np.empty(beyond, np.uint8), np.empty(longest + 1, np.int32)
    phrases = rules.within.arrays(), rules.bad.arrays()
    results = out, out_offsets, counts, by_kind, found
    clean_texts(data, offsets, chars, sentence, NOTES, settings, *phrases, rooms, *results)
    rows = [[kind, *found[kind, at]] for kind, at in np.argwhere(found[:, :, 0] >= 0).tolist()]
    if by_kind.any():
        buffers = pa.py_buffer(out_offsets), pa.py_buffer(out[: out_offsets[-1]])
        texts = pa.LargeStringArray.from_buffers(len(texts), *buffers)
    changed = +Counter(dict(zip(KINDS, by_kind.tolist(), strict=True)))
    return Cleaned(texts, counts, changed, np.array(rows, np.int64).reshape(-1, 4))
