"""FineWeb's own quality rules: lists, tables and pages of fragments, told by their lines.

Source: Penedo et al. 2024, "The FineWeb Datasets", arXiv:2406.17557, section 3.6, and datatrove's FineWebQualityFilter
(0.10), which FineWeb was made with, where that is another: of duplicate lines the paper says at most 0.1 of the
characters, the code 0.01; the rule of new lines is in the code alone. Words are `str.split()`, where the code uses
spaCy's.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from data_pipeline.clean.chars import SENTENCE_TERMINALS, byte_kinds, char_classes, char_set
from data_pipeline.clean.numbers import NUM_PROBES, table_of
from data_pipeline.clean.repetition_kernels import (
    CHARS,
    ENDED_LINES,
    LINES,
    NEWLINES,
    NUM_LINE_COLUMNS,
    REPEATED_CHARS,
    SHORT_LINES,
    WORDS,
    measure_lines,
)
from data_pipeline.clean.rules import Applied, Limit, Rule
from data_pipeline.documents import utf8_buffers
from foundation.errors import require


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
            Limit.at_least("fineweb_ended_lines", min_ended_lines_frac, "min_ended_lines_frac"),
            Limit.at_most("fineweb_short_lines", max_short_lines_frac, "max_short_lines_frac"),
            Limit.at_most(
                "fineweb_duplicate_line_chars", max_duplicate_line_chars_frac, "max_duplicate_line_chars_frac"
            ),
            Limit.at_most("fineweb_newlines_per_word", max_newlines_per_word, "max_newlines_per_word"),
        )

    def apply(self, batch: pa.RecordBatch) -> Applied:
        measures, _ = line_measures(batch.column("text"), self._short_line_chars, self._end_marks)
        columns, has_words = measures.T, measures[:, LINES] > 0
        chars = columns[CHARS] - columns[NEWLINES]
        scores = {
            "fineweb_ended_lines": _ratio(columns[ENDED_LINES], columns[LINES], has_words),
            "fineweb_short_lines": _ratio(columns[SHORT_LINES], columns[LINES], has_words),
            "fineweb_duplicate_line_chars": _ratio(columns[REPEATED_CHARS], chars, has_words),
            "fineweb_newlines_per_word": _ratio(columns[NEWLINES], columns[WORDS], has_words),
        }
        if self._keep_without_ended_lines:
            scores["fineweb_ended_lines"][measures[:, ENDED_LINES] == 0] = np.nan
        return Applied(batch, scores)


def _ratio(part: np.ndarray, whole: np.ndarray, has_words: np.ndarray) -> np.ndarray:
    ratio = np.full(len(part), np.nan)
    np.divide(part, whole, out=ratio, where=has_words)
    return ratio


def line_measures_one(text: str, short_line_chars: int, end_marks: tuple[str, ...]) -> list[int]:
    """Return the measures of one text: the reference that `line_measures` equals."""
    lines = [line for line in text.split("\n") if line.split()]
    measures = [0] * NUM_LINE_COLUMNS
    measures[CHARS], measures[LINES] = len(text), len(lines)
    measures[ENDED_LINES] = sum(line.endswith(end_marks) for line in lines)
    measures[SHORT_LINES] = sum(len(line) <= short_line_chars for line in lines)
    measures[REPEATED_CHARS] = sum(map(len, lines)) - sum(map(len, set(lines)))
    measures[NEWLINES] = text.count("\n")
    measures[WORDS] = len(text.split())
    return measures


def line_measures(
    texts: pa.LargeStringArray, short_line_chars: int, end_marks: tuple[str, ...]
) -> tuple[np.ndarray, int]:
    """Return (texts, NUM_LINE_COLUMNS) int64, columns as repetition_kernels names them, and the probes of its table.

    Args:
        texts: without nulls.
        short_line_chars: most characters of a short line.
        end_marks: single characters.
    """
    data, offsets = utf8_buffers(texts)
    measures = np.zeros((len(texts), NUM_LINE_COLUMNS), dtype=np.int64)
    longest = int(np.diff(offsets).max(initial=0))
    table = table_of(longest // 2 + 1)
    gaps, ends = np.empty(longest, np.uint8), np.empty(longest + 1, np.int32)
    tables = byte_kinds(), char_classes(), char_set(end_marks)
    measure_lines(data, offsets, *tables, short_line_chars, table, gaps, ends, measures)
    return measures, int(table.state[NUM_PROBES])
