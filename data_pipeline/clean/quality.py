"""Quality rules that look at words and lines alone.

Source: Rae et al. 2021, "Scaling Language Models: Methods, Analysis & Insights from Training Gopher", arXiv:2112.11446,
appendix A1.1, "Quality Filtering". Where the paper leaves a reading open (which characters are bullets, what a ratio is
of), this follows datatrove's GopherQualityFilter, with words by `str.split()` where that uses a tokenizer and
leaves words of punctuation alone uncounted.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from data_pipeline.clean.measures import (
    ALPHA_WORDS,
    BULLET_LINES,
    ELLIPSIS_LINES,
    HASHES,
    LINES,
    MAX_STOP_WORDS,
    NUM_ELLIPSES,
    STOP_WORDS,
    WORD_CHARS,
    WORDS,
    StopWords,
    measure,
)
from data_pipeline.clean.rules import Applied, Limit, Rule
from foundation.errors import require

GOPHER_STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")


class GopherQuality(Rule):
    """Gopher's quality rules. Of several rules that a document breaks the first, in the order below, is its reason.

    Where a rule has one reason, that is its score's name too; the first two are `gopher_words` and
    `gopher_mean_word_length`.

    The defaults are the paper's, made for English web pages.

    Args:
        min_words, max_words: words of a document (`gopher_too_few_words`, `gopher_too_many_words`).
        min_mean_word_length, max_mean_word_length: mean characters of a word (`gopher_words_too_short`,
            `gopher_words_too_long`).
        max_hash_ratio: `#` signs to words (`gopher_hash_ratio`).
        max_ellipsis_ratio: ellipses, `...` and `…`, to words (`gopher_ellipsis_ratio`).
        max_bullet_lines_frac: share of lines that begin with `•` or `-` (`gopher_bullet_lines`).
        max_ellipsis_lines_frac: share of lines that end with an ellipsis (`gopher_ellipsis_lines`).
        min_alpha_words_frac: share of words with at least one letter (`gopher_alpha_words`).
        min_stop_words: how many different stop words must occur (`gopher_stop_words`).
        stop_words: compared with words as they are written; None: the paper's, GOPHER_STOP_WORDS.
    Raises:
        SettingError: a value that can't work.
    """

    decide_alone = frozenset(
        {
            *("min_words", "max_words", "min_mean_word_length", "max_mean_word_length", "max_hash_ratio"),
            *("max_ellipsis_ratio", "max_bullet_lines_frac", "max_ellipsis_lines_frac", "min_alpha_words_frac"),
            "min_stop_words",
        }
    )

    def __init__(
        self,
        min_words: int = 50,
        max_words: int = 100_000,
        min_mean_word_length: float = 3.0,
        max_mean_word_length: float = 10.0,
        max_hash_ratio: float = 0.1,
        max_ellipsis_ratio: float = 0.1,
        max_bullet_lines_frac: float = 0.9,
        max_ellipsis_lines_frac: float = 0.3,
        min_alpha_words_frac: float = 0.8,
        min_stop_words: int = 2,
        stop_words: list[str] | None = None,
    ) -> None:
        words = GOPHER_STOP_WORDS if stop_words is None else tuple(dict.fromkeys(stop_words))
        _check_words(words, min_stop_words)
        _check_range("words", min_words, max_words)
        _check_range("mean_word_length", min_mean_word_length, max_mean_word_length)
        for name, most in (("max_hash_ratio", max_hash_ratio), ("max_ellipsis_ratio", max_ellipsis_ratio)):
            require(most >= 0, name, most, "0 or more")
        for name, share in (
            ("max_bullet_lines_frac", max_bullet_lines_frac),
            ("max_ellipsis_lines_frac", max_ellipsis_lines_frac),
            ("min_alpha_words_frac", min_alpha_words_frac),
        ):
            require(0 <= share <= 1, name, share, "a share from 0 to 1")
        self.limits = (
            Limit(
                "gopher_words",
                min_words,
                max_words,
                "gopher_too_few_words",
                "gopher_too_many_words",
                "min_words",
                "max_words",
            ),
            Limit(
                "gopher_mean_word_length",
                min_mean_word_length,
                max_mean_word_length,
                "gopher_words_too_short",
                "gopher_words_too_long",
                "min_mean_word_length",
                "max_mean_word_length",
            ),
            Limit.at_most("gopher_hash_ratio", max_hash_ratio, "max_hash_ratio"),
            Limit.at_most("gopher_ellipsis_ratio", max_ellipsis_ratio, "max_ellipsis_ratio"),
            Limit.at_most("gopher_bullet_lines", max_bullet_lines_frac, "max_bullet_lines_frac"),
            Limit.at_most("gopher_ellipsis_lines", max_ellipsis_lines_frac, "max_ellipsis_lines_frac"),
            Limit.at_least("gopher_alpha_words", min_alpha_words_frac, "min_alpha_words_frac"),
            Limit.at_least("gopher_stop_words", min_stop_words, "min_stop_words"),
        )
        self._stop_words = StopWords.of(words)

    def apply(self, batch: pa.RecordBatch) -> Applied:
        values = np.ascontiguousarray(gopher_values(measure(batch.column("text"), self._stop_words)).T)
        return Applied(batch, {limit.score: column for limit, column in zip(self.limits, values, strict=True)})


def gopher_values(measures: np.ndarray) -> np.ndarray:
    """Return what each rule compares with its limits, (texts, rules) float64, in the order of the rules.

    Args:
        measures: (texts, NUM_MEASURES) int64 as of `measure`.
    """
    words, lines = np.maximum(measures[:, WORDS], 1), np.maximum(measures[:, LINES], 1)
    columns = (
        measures[:, WORDS],
        measures[:, WORD_CHARS] / words,
        measures[:, HASHES] / words,
        measures[:, NUM_ELLIPSES] / words,
        measures[:, BULLET_LINES] / lines,
        measures[:, ELLIPSIS_LINES] / lines,
        measures[:, ALPHA_WORDS] / words,
        measures[:, STOP_WORDS],
    )
    return np.stack(columns, axis=1).astype(np.float64)


def _check_words(words: tuple[str, ...], min_stop_words: int) -> None:
    for word in words:
        require(word.split() == [word], "stop_words", word, "words without white space")
    require(len(words) <= MAX_STOP_WORDS, "stop_words", f"a list of {len(words)}", f"at most {MAX_STOP_WORDS} words")
    allowed = f"a number from 0 to {len(words)}, which is how many stop_words there are"
    require(0 <= min_stop_words <= len(words), "min_stop_words", min_stop_words, allowed)


def _check_range(name: str, least: float, most: float) -> None:
    require(least >= 0, f"min_{name}", least, "0 or more")
    require(most >= least, f"max_{name}", most, f"a number not below min_{name}, {least}: else every text would go")
