"""Documents without words, and documents too short to learn from."""

from __future__ import annotations

import pyarrow as pa

from data_pipeline.clean.measures import CHARS, WORDS, measure
from data_pipeline.clean.rules import Cleaned, Rule, without
from data_pipeline.documents import Removal
from foundation.errors import require


class Length(Rule):
    """Takes out documents that are `empty` (no word), or have `too_few_chars` or `too_few_words`.

    Args:
        min_chars: fewest characters (code points), white space included.
        min_words: fewest words, `str.split()`.
    Raises:
        SettingError: a limit is negative.
    """

    def __init__(self, min_chars: int = 1, min_words: int = 1) -> None:
        for name, value in (("min_chars", min_chars), ("min_words", min_words)):
            require(value >= 0, name, value, "0 or more")
        self.min_chars, self.min_words = min_chars, min_words

    def apply(self, batch: pa.RecordBatch) -> Cleaned:
        measures = measure(batch.column("text"))
        judged = zip(measures[:, CHARS].tolist(), measures[:, WORDS].tolist(), strict=True)
        verdicts = [self._judge(position, chars, words) for position, (chars, words) in enumerate(judged)]
        return without(batch, [verdict for verdict in verdicts if verdict is not None])

    def _judge(self, position: int, chars: int, words: int) -> Removal | None:
        if not words:
            return Removal(position, "empty", value=0.0, threshold=1.0)
        if chars < self.min_chars:
            return Removal(position, "too_few_chars", value=float(chars), threshold=float(self.min_chars))
        if words < self.min_words:
            return Removal(position, "too_few_words", value=float(words), threshold=float(self.min_words))
        return None
