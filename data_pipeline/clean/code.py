"""Source files that nobody wrote by hand: data, minified and generated code, told by their lines and letters.

Source: Chen et al. 2021, "Evaluating Large Language Models Trained on Code", arXiv:2107.03374, section 3.1: mean line
length above 100, longest line above 1000, few alphanumeric characters; StarCoder, Li et al. 2023, arXiv:2305.06161,
section 3.1, has the same filters with limits by file extension, by default those of bigcode-dataset,
preprocessing/README.md: 100, 1000 and a share of 0.25.
"""

from __future__ import annotations

import functools

import numpy as np
import pyarrow as pa

from data_pipeline.clean.measures import (
    ALPHANUMERIC,
    CODE_CHARS,
    CODE_LINES,
    LINE_CHARS,
    LONGEST_LINE,
    NUM_CODE_MEASURES,
    measure_code,
)
from data_pipeline.clean.rules import Applied, Limit, Rule
from data_pipeline.documents import utf8_buffers
from foundation.errors import require


class Code(Rule):
    """Limits for source code. A line ends with a newline. A text without characters has no scores, NaN, and stays.

    Args:
        max_mean_line_chars: characters to lines, newlines left out (`code_mean_line_chars`).
        max_line_chars: characters of the longest line (`code_longest_line_chars`).
        min_alphanumeric_frac: letters and digits of any script, `str.isalnum`, to all characters
            (`code_alphanumeric`).
    Raises:
        SettingError: a value that can't work.
    """

    decide_alone = frozenset({"max_mean_line_chars", "max_line_chars", "min_alphanumeric_frac"})

    def __init__(
        self, max_mean_line_chars: float = 100.0, max_line_chars: int = 1000, min_alphanumeric_frac: float = 0.25
    ) -> None:
        for name, most in (("max_mean_line_chars", max_mean_line_chars), ("max_line_chars", max_line_chars)):
            require(most >= 0, name, most, "0 or more")
        allowed = "a share from 0 to 1"
        require(0 <= min_alphanumeric_frac <= 1, "min_alphanumeric_frac", min_alphanumeric_frac, allowed)
        self.limits = (
            Limit.at_most("code_mean_line_chars", max_mean_line_chars, "max_mean_line_chars"),
            Limit.at_most("code_longest_line_chars", max_line_chars, "max_line_chars"),
            Limit.at_least("code_alphanumeric", min_alphanumeric_frac, "min_alphanumeric_frac"),
        )

    def apply(self, batch: pa.RecordBatch) -> Applied:
        measures = code_measures(batch.column("text"))
        scores = {
            "code_mean_line_chars": measures[:, LINE_CHARS] / np.maximum(measures[:, CODE_LINES], 1),
            "code_longest_line_chars": measures[:, LONGEST_LINE].astype(np.float64),
            "code_alphanumeric": measures[:, ALPHANUMERIC] / np.maximum(measures[:, CODE_CHARS], 1),
        }
        for column in scores.values():
            column[measures[:, CODE_CHARS] == 0] = np.nan
        return Applied(batch, scores)


def code_measures_one(text: str) -> list[int]:
    """Return the measures of one text: the reference that `code_measures` equals."""
    lines = text.removesuffix("\n").split("\n") if text else []
    sizes = [len(line) for line in lines]
    return [len(text), len(lines), sum(sizes), max(sizes, default=0), sum(map(str.isalnum, text))]


def code_measures(texts: pa.LargeStringArray) -> np.ndarray:
    """Return (texts, NUM_CODE_MEASURES) int64, columns as measures.py names them.

    Args:
        texts: without nulls.
    """
    data, offsets = utf8_buffers(texts)
    measures = np.zeros((len(texts), NUM_CODE_MEASURES), dtype=np.int64)
    measure_code(data, offsets, _alphanumeric(), measures)
    return measures


@functools.cache
def _alphanumeric() -> np.ndarray:
    """Return whether each code point is a letter or digit, (0x110000,) uint8."""
    return np.array([chr(code).isalnum() for code in range(0x110000)], np.uint8)
