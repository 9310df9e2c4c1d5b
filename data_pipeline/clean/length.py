"""Documents without words, and documents too short to learn from."""

from __future__ import annotations

import pyarrow as pa

from data_pipeline.clean.bounds import sizes
from data_pipeline.clean.rules import Applied, Limit, Rule
from foundation.errors import require


class Length(Rule):
    """Takes out documents that are `empty` (no word), or have `too_few_chars` or `too_few_words`.

    Args:
        min_chars: fewest characters (code points), white space included.
        min_words: fewest words, `str.split()`.
    Raises:
        SettingError: a limit is negative.
    """

    decide_alone = frozenset({"min_chars", "min_words"})

    def __init__(self, min_chars: int = 1, min_words: int = 1) -> None:
        for name, value in (("min_chars", min_chars), ("min_words", min_words)):
            require(value >= 0, name, value, "0 or more")
        self.limits = (
            Limit("has_words", least=1.0, below="empty"),
            Limit("chars", least=float(min_chars), below="too_few_chars", least_key="min_chars"),
            Limit("words", least=float(min_words), below="too_few_words", least_key="min_words"),
        )

    def apply(self, batch: pa.RecordBatch) -> Applied:
        chars, words = sizes(batch.column("text"))
        return Applied(batch, {"has_words": (words > 0).astype(float), "chars": chars * 1.0, "words": words * 1.0})
