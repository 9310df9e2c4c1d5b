"""Lines that a site puts on its every page, dropped by patterns."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline.clean.edits import Edits, edited, examples_of
from data_pipeline.clean.rules import Applied, Rule, with_text
from data_pipeline.documents import utf8_buffers
from foundation.errors import require

DROPPED = "boilerplate_lines_dropped"
# Notices about JavaScript and cookies, as in Raffel et al. 2020 (C4), arXiv:1910.10683, 2.2, which drops each line with
# the word JavaScript and with phrases such as "uses cookies"; here only what asks for it. The last is every footer's.
PATTERNS = (
    r"\b(enable|activate|turn on) (your (web )?browser'?s? )?javascript\b",
    r"\b(page|site|website|app|browser) (requires|needs|does not support|doesn't support) javascript\b",
    r"\bjavascript (is|must be|has to be|needs to be|has been)( currently)? (disabled|enabled|required|off|not)\b",
    r"\b(uses?|using|use of|accept|accepting|allow)( all| our| the)? cookies\b",
    r"\bcookie (policy|settings|preferences|consent|notice)\b",
    r"\ball rights reserved\b",
)


class Boilerplate(Rule):
    """Drops lines in which a pattern matches, whatever the case, unless they are too long for a notice.

    Patterns are regular expressions of RE2, whose time grows with the text alone, whatever the pattern
    (https://github.com/google/re2/wiki/Syntax): no look-around, no back-references; `^` and `$` are a line's ends.
    Counts `boilerplate_lines_dropped`.

    Args:
        patterns: None: PATTERNS, for English pages. Others take their place.
        max_line_chars: most characters of a line that can be a notice; longer ones are paragraphs that speak of it.
    Raises:
        SettingError: a pattern that RE2 can't read, or none; a length below 1.
    """

    def __init__(self, patterns: list[str] | None = None, max_line_chars: int = 200) -> None:
        self._patterns = list(PATTERNS) if patterns is None else patterns
        require(bool(self._patterns), "patterns", patterns, "a pattern or more, or leave the rule out")
        for pattern in self._patterns:
            require(bool(pattern) and _is_readable(pattern), "patterns", pattern, "a regular expression of RE2")
        require(max_line_chars >= 1, "max_line_chars", max_line_chars, "1 or more")
        self._max_chars = max_line_chars

    def apply(self, batch: pa.RecordBatch) -> Applied:
        texts = batch.column("text")
        suspects = pc.indices_nonzero(self._match(texts)).to_numpy()
        if not len(suspects):
            return Applied(batch)
        starts, stops = self._lines(texts, suspects)
        if not len(starts):
            return Applied(batch)
        edits = Edits.removing(starts, stops)
        examples = examples_of(DROPPED, batch, edits, np.ones(len(edits), bool))
        changed = Counter({DROPPED: len(edits)})
        return Applied(with_text(batch, edited(texts, edits)), changed=changed, examples=examples)

    def _match(self, texts: pa.LargeStringArray) -> pa.BooleanArray:
        """Return whether one of the patterns matches in a line of each text; `.` and `^` don't reach over a line."""
        joined = "|".join(f"(?:{pattern})" for pattern in self._patterns)
        return pc.match_substring_regex(texts, f"(?m){joined}", ignore_case=True)

    def _lines(self, texts: pa.LargeStringArray, suspects: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return where the lines to drop of these documents begin and end, newlines included, in the array's bytes."""
        _, offsets = utf8_buffers(texts)
        parted = pc.split_pattern(texts.take(pa.array(suspects)), "\n")
        lines, per_text = parted.flatten(), pc.list_value_length(parted).to_numpy()
        drops = pc.and_(self._match(lines), pc.less_equal(pc.utf8_length(lines), self._max_chars))
        sizes = pc.binary_length(lines).to_numpy() + 1  # with its newline, which the last line of a text lacks
        first = np.cumsum(per_text) - per_text  # of each text, among the lines
        before = np.cumsum(sizes) - sizes
        starts = before - np.repeat(before[first] - offsets[:-1][suspects], per_text)
        stops = np.minimum(starts + sizes, np.repeat(offsets[1:][suspects], per_text))
        chosen = drops.to_numpy(zero_copy_only=False) & (stops > starts)
        return starts[chosen], stops[chosen]


def _is_readable(pattern: str) -> bool:
    try:
        pc.match_substring_regex(pa.array([""], pa.large_string()), f"(?:{pattern})")
    except pa.ArrowInvalid:
        return False
    return True
