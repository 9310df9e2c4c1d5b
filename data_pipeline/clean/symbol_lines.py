"""Lines of symbols alone, such as rulers and torn tables, dropped.

The idea is that of datatrove's SymbolLinesFormatter (0.10), which also drops the lines of brackets, quotes and comment
marks that code needs.
"""

from __future__ import annotations

import functools
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from data_pipeline.clean.edits import START, STOP, Edits, edited, examples_of, spans_of
from data_pipeline.clean.rules import Applied, Rule, with_text
from data_pipeline.compiled import array_kernel
from data_pipeline.documents import utf8_buffers
from data_pipeline.utf8 import decode
from foundation.errors import require

DROPPED = "symbol_lines_dropped"
CODE = "(){}[]<>.;,/\\\"'`#@$%&"
_SYMBOL, _SPACE, _KEPT = range(3)
_NEWLINE = 0x0A


class SymbolLines(Rule):
    """Drops each line that holds a symbol, and else nothing but symbols and white space. Empty lines stay.

    A symbol is a character that is neither a letter nor a digit (`str.isalnum`) nor white space (`str.isspace`). Counts
    `symbol_lines_dropped`. Comes after `Emoji`, as emoji are symbols.

    Args:
        kept_symbols: a line with one of these stays; by default marks that lines of code consist of. `=`, `-`, `*`, `|`
            and `_` are not among them: the underlines of headings and the rulers of tables go, in Markdown too.
    Raises:
        SettingError: a letter, a digit or white space among them.
    """

    def __init__(self, kept_symbols: str = CODE) -> None:
        bad = [char for char in kept_symbols if char.isalnum() or char.isspace()]
        require(not bad, "kept_symbols", "".join(bad), "symbols; lines with letters, digits or nothing stay anyhow")
        self._kept = kept_symbols

    def apply(self, batch: pa.RecordBatch) -> Applied:
        texts = batch.column("text")
        classes = _classes().copy()
        classes[[ord(char) for char in self._kept]] = _KEPT
        spans = spans_of(_find, *utf8_buffers(texts), classes)
        if not len(spans):
            return Applied(batch)
        edits = Edits.removing(spans[:, START], spans[:, STOP])
        examples = examples_of(DROPPED, batch, edits, np.ones(len(spans), bool))
        changed = Counter({DROPPED: len(spans)})
        return Applied(with_text(batch, edited(texts, edits)), changed=changed, examples=examples)


def without_symbol_lines_one(text: str, kept_symbols: str = CODE) -> str:
    """Return one text as the rule does: the reference in plain Python."""
    lines = text.split("\n")
    ended = [line + "\n" for line in lines[:-1]] + [lines[-1]]
    return "".join(line for line in ended if not _is_of_symbols(line, kept_symbols))


def _is_of_symbols(line: str, kept_symbols: str) -> bool:
    chars = [char for char in line if not char.isspace()]
    return bool(chars) and not any(char.isalnum() or char in kept_symbols for char in chars)


@functools.cache
def _classes() -> np.ndarray:
    """Return the class of every code point, (0x110000,) uint8; 0.1 s, once a process."""
    classes = bytearray(0x110000)
    for code in range(len(classes)):
        char = chr(code)
        classes[code] = _SPACE if char.isspace() else _KEPT if char.isalnum() else _SYMBOL
    return np.frombuffer(bytes(classes), dtype=np.uint8)


@array_kernel
def _find(data: Any, offsets: Any, classes: Any, spans: Any) -> int:
    """Fill `spans` (n, 3) int64 with the lines to drop, newlines included; return how many there are."""
    found = 0
    for text in range(offsets.size - 1):
        place, stop = offsets[text], offsets[text + 1]
        while place < stop:
            start, has_symbol, is_kept = place, False, False
            while place < stop and data[place] != _NEWLINE:
                if is_kept:
                    place += 1
                    continue
                char, size = decode(data, place)
                has_symbol |= classes[char] == _SYMBOL
                is_kept = classes[char] == _KEPT
                place += size
            place += place < stop  # the newline
            if has_symbol and not is_kept:
                if found < len(spans):
                    spans[found, START], spans[found, STOP] = start, place
                found += 1
    return found
