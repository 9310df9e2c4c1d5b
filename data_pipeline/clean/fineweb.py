"""FineWeb's own quality rules: lists, tables and pages of fragments, told by their lines.

Source: Penedo et al. 2024, "The FineWeb Datasets", arXiv:2406.17557, section 3.6, and datatrove's FineWebQualityFilter
(0.10), which FineWeb was made with, where that is another: of duplicate lines the paper says at most 0.1 of the
characters, the code 0.01; the rule of new lines is in the code alone. Words are `str.split()`, where the code uses
spaCy's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from data_pipeline.clean.chars import (
    INNER,
    NEWLINE,
    SENTENCE_TERMINALS,
    byte_kinds,
    char_classes,
    char_set,
    decode_last,
    gap_size,
    kernel,
)
from data_pipeline.clean.numbering import NUM_NUMBERS, NUM_PROBES, forget, number_of_span, table_of
from data_pipeline.clean.rules import Applied, Limit, Rule
from data_pipeline.documents import utf8_buffers
from foundation.errors import require

# Columns of what `line_measures` returns
LINES, ENDED_LINES, SHORT_LINES, DUPLICATE_CHARS, CHARS, NEWLINES, WORDS = range(7)
NUM_COLUMNS = 7
_BASE = 31


class FineWeb(Rule):
    """FineWeb's quality rules. A line is one with a word. A text without a word has no scores, NaN, and stays.

    Args:
        min_ended_lines_frac: share of lines that end with a mark of `end_marks`, as written: with white space after
            it a line does not (`fineweb_ended_lines`).
        keep_without_ended_lines: whether a text stays none of whose lines end so, as in scripts with marks of their
            own; its score is NaN then.
        max_short_lines_frac: share of lines of at most `short_line_chars` (`fineweb_short_lines`).
        short_line_chars: characters, white space included.
        max_duplicate_line_chars_frac: characters of lines that stood before, to all but newlines
            (`fineweb_duplicate_line_chars`).
        max_newlines_per_word: newlines to words (`fineweb_newlines_per_word`).
        end_marks: characters; None: those that end a sentence in any script (Unicode's Sentence_Terminal).
    Raises:
        SettingError: a value that can't work.
    """

    decide_alone = frozenset(
        {"min_ended_lines_frac", "max_short_lines_frac", "max_duplicate_line_chars_frac", "max_newlines_per_word"}
    )

    def __init__(
        self,
        min_ended_lines_frac: float = 0.12,
        keep_without_ended_lines: bool = False,
        max_short_lines_frac: float = 0.67,
        short_line_chars: int = 30,
        max_duplicate_line_chars_frac: float = 0.01,
        max_newlines_per_word: float = 0.3,
        end_marks: list[str] | None = None,
    ) -> None:
        for name, share in (
            ("min_ended_lines_frac", min_ended_lines_frac),
            ("max_short_lines_frac", max_short_lines_frac),
        ):
            require(0 <= share <= 1, name, share, "a share from 0 to 1")
        for name, least in (
            ("short_line_chars", short_line_chars),
            ("max_duplicate_line_chars_frac", max_duplicate_line_chars_frac),
            ("max_newlines_per_word", max_newlines_per_word),
        ):
            require(least >= 0, name, least, "0 or more")
        self._end_marks = SENTENCE_TERMINALS if end_marks is None else tuple(end_marks)
        for mark in self._end_marks:
            require(len(mark) == 1, "end_marks", mark, "single characters")
        self._short_line_chars, self._keep_without_ended_lines = short_line_chars, keep_without_ended_lines
        self.limits = (
            Limit("fineweb_ended_lines", least=min_ended_lines_frac, below="fineweb_ended_lines"),
            _most("fineweb_short_lines", max_short_lines_frac),
            _most("fineweb_duplicate_line_chars", max_duplicate_line_chars_frac),
            _most("fineweb_newlines_per_word", max_newlines_per_word),
        )

    def apply(self, batch: pa.RecordBatch) -> Applied:
        measures, _ = line_measures(batch.column("text"), self._short_line_chars, self._end_marks)
        scores = {
            "fineweb_ended_lines": _ratio(measures, ENDED_LINES, LINES),
            "fineweb_short_lines": _ratio(measures, SHORT_LINES, LINES),
            "fineweb_duplicate_line_chars": _ratio(measures, DUPLICATE_CHARS, CHARS),
            "fineweb_newlines_per_word": _ratio(measures, NEWLINES, WORDS),
        }
        if self._keep_without_ended_lines:
            scores["fineweb_ended_lines"][measures[:, ENDED_LINES] == 0] = np.nan
        return Applied(batch, scores)


def _most(name: str, most: float) -> Limit:
    return Limit(name, most=float(most), above=name)


def _ratio(measures: np.ndarray, part: int, whole: int) -> np.ndarray:
    ratio = np.full(len(measures), np.nan)
    return np.divide(measures[:, part], measures[:, whole], out=ratio, where=measures[:, LINES] > 0)


def line_measures_one(text: str, short_line_chars: int, end_marks: tuple[str, ...]) -> list[int]:
    """Return the measures of one text: the reference that `line_measures` equals."""
    lines = [line for line in text.split("\n") if line.split()]
    measures = [0] * NUM_COLUMNS
    measures[LINES] = len(lines)
    measures[ENDED_LINES] = sum(line.endswith(end_marks) for line in lines)
    measures[SHORT_LINES] = sum(len(line) <= short_line_chars for line in lines)
    measures[DUPLICATE_CHARS] = sum(map(len, lines)) - sum(map(len, set(lines)))
    measures[NEWLINES] = text.count("\n")
    measures[CHARS] = len(text) - measures[NEWLINES]
    measures[WORDS] = len(text.split())
    return measures


def line_measures(
    texts: pa.LargeStringArray, short_line_chars: int, end_marks: tuple[str, ...]
) -> tuple[np.ndarray, int]:
    """Return (texts, NUM_COLUMNS) int64, column by column as the names above, and the probes of the table of lines.

    Args:
        texts: without nulls.
        short_line_chars: most characters of a short line.
        end_marks: single characters.
    """
    data, offsets = utf8_buffers(texts)
    measures = np.zeros((len(texts), NUM_COLUMNS), dtype=np.int64)
    table = table_of(int(np.diff(offsets).max(initial=0)) // 2 + 1)
    tables = byte_kinds(), char_classes(), char_set(end_marks)
    _line_measures(data, offsets, *tables, short_line_chars, *table, measures)
    return measures, int(table.state[NUM_PROBES])


@kernel
def _line_measures(
    data: Any,
    offsets: Any,
    kinds: Any,
    classes: Any,
    is_end_mark: Any,
    short_line_chars: int,
    slots: Any,
    spans: Any,
    state: Any,
    measures: Any,
) -> None:
    for text in range(offsets.size - 1):
        forget(slots, state, 0)
        start, stop, found = offsets[text], offsets[text + 1], measures[text]
        place, words, chars, newlines, key, in_word = start, 0, 0, 0, 0, False
        line_start, line_words, line_chars = start, 0, 0
        while True:
            if place == stop or data[place] == NEWLINE:
                if words > line_words:
                    found[LINES] += 1
                    found[ENDED_LINES] += is_end_mark[decode_last(data, line_start, place)[0]]
                    found[SHORT_LINES] += chars - line_chars <= short_line_chars
                    known = state[NUM_NUMBERS]
                    if number_of_span(slots, spans, state, data, line_start, place, key) < known:
                        found[DUPLICATE_CHARS] += chars - line_chars
                if place == stop:
                    break
                place += 1
                newlines += 1
                line_start, line_words, line_chars, key, in_word = place, words, chars, 0, False
                continue
            byte = data[place]
            kind = kinds[byte]
            key = key * _BASE + np.int64(byte)
            chars += kind != INNER
            place += 1
            if kind and kind != INNER:
                gap = gap_size(data, place - 1, kinds, classes)
                if gap:
                    in_word = False
                    for inner in range(place, place - 1 + gap):
                        key = key * _BASE + np.int64(data[inner])
                    place += gap - 1
                    continue
            words += not in_word
            in_word = True
        found[CHARS], found[NEWLINES], found[WORDS] = chars, newlines, words
