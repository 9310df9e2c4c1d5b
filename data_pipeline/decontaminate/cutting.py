"""What is cut out of a document that holds a test item: whole sentences, so that the rest reads as it was written."""

from __future__ import annotations

import bisect
import re
from itertools import accumulate

from data_pipeline.decontaminate.spans import Span

# behind the end of a sentence, with the quotes and brackets that close it and the space up to the next; a line's end
# alone is none: text may be wrapped anywhere
_BORDER = re.compile(r"[.!?\u2026]+[\"'\u201d\u2019\u00bb)\]]*\s+|[\u3002\uff01\uff1f]+[\u300d\u300f\uff09]*|\n\s*\n")


def spans_to_cut(text: str, spans: list[Span]) -> list[Span]:
    """Return the sentences that hold any of these spans, as spans that don't touch, ascending.

    Args:
        spans: UTF-8 bytes of the text, in any order.
    """
    borders = _borders(text)
    cut: list[Span] = []
    for start, end in sorted(spans):
        first = borders[bisect.bisect_right(borders, start) - 1]
        last = borders[bisect.bisect_left(borders, end)]
        if cut and first <= cut[-1][1]:
            cut[-1] = (cut[-1][0], max(last, cut[-1][1]))
        else:
            cut.append((first, last))
    return cut


def _borders(text: str) -> list[int]:
    """Return where sentences begin, in bytes, and where the text ends."""
    ends = [match.end() for match in _BORDER.finditer(text)]
    pieces = [text[first:last] for first, last in zip([0, *ends], [*ends, len(text)], strict=True)]
    return [0, *accumulate(len(piece.encode()) for piece in pieces)]
