"""Gopher's rules against repetition: lines, paragraphs and n-grams that a text says again and again.

Source: Rae et al. 2021, "Scaling Language Models: Methods, Analysis & Insights from Training Gopher", arXiv:2112.11446,
appendix A1.1, "Repetition Removal", table A1. Where the paper leaves a reading open this follows datatrove's
GopherRepetitionFilter (0.10): of equal lines or paragraphs all but the first are duplicates; shares are of all
characters of the text; the most frequent n-gram counts with the spaces in it, duplicate n-grams without, and are sought
from left to right, a word counting once. Other than there

- words are `str.split()`, where that uses spaCy's,
- lines without a word count neither as lines nor as duplicates (blank lines made texts go: datatrove#273, mended there
  but for blank first and last lines and for lines of white space), and they separate paragraphs, as empty ones do,
- n-grams are equal when their words are; there "ab c" and "a bc" are, too.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from data_pipeline.clean.repetition import repetition
from data_pipeline.clean.repetition_kernels import (
    CHARS,
    DUPLICATE_LINE_CHARS,
    DUPLICATE_LINES,
    DUPLICATE_N,
    DUPLICATE_PARAGRAPH_CHARS,
    DUPLICATE_PARAGRAPHS,
    FIRST_N_GRAM,
    LINES,
    PARAGRAPHS,
    TOP_N,
)
from data_pipeline.clean.rules import Applied, Limit, Rule
from foundation.errors import require

# score -> of what share, both columns of `repetition`; in the order of the paper's table
SHARES = {
    "gopher_duplicate_lines": (DUPLICATE_LINES, LINES),
    "gopher_duplicate_paragraphs": (DUPLICATE_PARAGRAPHS, PARAGRAPHS),
    "gopher_duplicate_line_chars": (DUPLICATE_LINE_CHARS, CHARS),
    "gopher_duplicate_paragraph_chars": (DUPLICATE_PARAGRAPH_CHARS, CHARS),
    **{f"gopher_top_{n}_gram": (FIRST_N_GRAM + at, CHARS) for at, n in enumerate(TOP_N)},
    **{f"gopher_duplicate_{n}_grams": (FIRST_N_GRAM + len(TOP_N) + at, CHARS) for at, n in enumerate(DUPLICATE_N)},
}


class GopherRepetition(Rule):
    """Gopher's rules against repetition. A score's name is its reason, too.

    A text without a word has no scores, NaN, and stays; one with fewer than n words has no n-grams, a share of 0. The
    most frequent n-gram of a text that repeats none is its first: of a very short text that is a large share, as the
    paper's rule has it. It may exceed 1, as n-grams overlap.

    Args:
        max_duplicate_lines_frac: of the lines (`gopher_duplicate_lines`).
        max_duplicate_paragraphs_frac: of the paragraphs (`gopher_duplicate_paragraphs`).
        max_duplicate_line_chars_frac: of the characters, those in duplicate lines (`gopher_duplicate_line_chars`).
        max_duplicate_paragraph_chars_frac: those in duplicate paragraphs (`gopher_duplicate_paragraph_chars`).
        max_top_2_gram_frac, max_top_3_gram_frac, max_top_4_gram_frac: those in the most frequent n-gram
            (`gopher_top_2_gram` and so on).
        max_duplicate_5_grams_frac, max_duplicate_6_grams_frac, max_duplicate_7_grams_frac,
            max_duplicate_8_grams_frac, max_duplicate_9_grams_frac, max_duplicate_10_grams_frac: those in n-grams that
            stood before (`gopher_duplicate_5_grams` and so on).
    Raises:
        SettingError: a limit is negative.
    """

    decide_alone = frozenset(f"max_{name.removeprefix('gopher_')}_frac" for name in SHARES)

    def __init__(
        self,
        max_duplicate_lines_frac: float = 0.3,
        max_duplicate_paragraphs_frac: float = 0.3,
        max_duplicate_line_chars_frac: float = 0.2,
        max_duplicate_paragraph_chars_frac: float = 0.2,
        max_top_2_gram_frac: float = 0.2,
        max_top_3_gram_frac: float = 0.18,
        max_top_4_gram_frac: float = 0.16,
        max_duplicate_5_grams_frac: float = 0.15,
        max_duplicate_6_grams_frac: float = 0.14,
        max_duplicate_7_grams_frac: float = 0.13,
        max_duplicate_8_grams_frac: float = 0.12,
        max_duplicate_9_grams_frac: float = 0.11,
        max_duplicate_10_grams_frac: float = 0.10,
    ) -> None:
        limits = {
            "gopher_duplicate_lines": max_duplicate_lines_frac,
            "gopher_duplicate_paragraphs": max_duplicate_paragraphs_frac,
            "gopher_duplicate_line_chars": max_duplicate_line_chars_frac,
            "gopher_duplicate_paragraph_chars": max_duplicate_paragraph_chars_frac,
            "gopher_top_2_gram": max_top_2_gram_frac,
            "gopher_top_3_gram": max_top_3_gram_frac,
            "gopher_top_4_gram": max_top_4_gram_frac,
            "gopher_duplicate_5_grams": max_duplicate_5_grams_frac,
            "gopher_duplicate_6_grams": max_duplicate_6_grams_frac,
            "gopher_duplicate_7_grams": max_duplicate_7_grams_frac,
            "gopher_duplicate_8_grams": max_duplicate_8_grams_frac,
            "gopher_duplicate_9_grams": max_duplicate_9_grams_frac,
            "gopher_duplicate_10_grams": max_duplicate_10_grams_frac,
        }
        for name, most in limits.items():
            require(most >= 0, f"max_{name.removeprefix('gopher_')}_frac", most, "0 or more")
        self.limits = tuple(
            Limit(name, most=float(most), above=name, most_key=f"max_{name.removeprefix('gopher_')}_frac")
            for name, most in limits.items()
        )

    def apply(self, batch: pa.RecordBatch) -> Applied:
        return Applied(batch, repetition_scores(repetition(batch.column("text"))))


def repetition_scores(measures: np.ndarray) -> dict[str, np.ndarray]:
    """Return each score of texts, (texts,) float64; NaN for a text without a word.

    Args:
        measures: (texts, NUM_COLUMNS) int64 as of `repetition`.
    """
    has_words = measures[:, LINES] > 0
    scores = {}
    for name, (part, whole) in SHARES.items():
        scores[name] = np.full(len(measures), np.nan)
        np.divide(measures[:, part], measures[:, whole], out=scores[name], where=has_words)
    return scores
