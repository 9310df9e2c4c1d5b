"""What is cut out of a document that holds a test item: whole sentences, so that the rest reads as it was written."""

from __future__ import annotations

import bisect
import re
import unicodedata
from itertools import accumulate

from data_pipeline.decontaminate.spans import Span

# behind the end of a sentence, with the quotes and brackets that close it and the space up to the next; a line's end
# alone is none: text may be wrapped anywhere
_CLOSERS = "\"'\u201d\u2019\u00bb\u203a)\\]*_"
_STOPS = r".!?\u2026"
_BORDER = re.compile(
    # a run of stops is tried at its beginning alone and never given back: else a row of n dots takes n^2 steps
    rf"(?<![{_STOPS}])(?P<stop>[{_STOPS}]++)[{_CLOSERS}]*+\s++"
    r"|[\u0964\u0965\u061f\u06d4\u0589\u1362\u104b]+\s*"  # danda, Arabic, Urdu, Armenian, Ethiopic, Burmese
    r"|[\u3002\uff01\uff1f\uff61]+[\u300d\u300f\uff09\u201d\u2019\u300b\u3009\u3011]*\s*"  # Chinese, Japanese
    r"|\n\s*\n"
)
# a point behind these ends no sentence: initials, titles and the like, a number that begins a line; and words that may
# end one, before a small letter
_ABBREVIATED = re.compile(
    r"(?:\b(?:[^\W\d_](?:\.[^\W\d_])*|mr|mrs|ms|dr|prof|st|gen|col|sgt|rev|hon|fig|eq|vol|pp|cf|vs|bzw)"
    r"|^\s*\d{1,3})$",
    re.IGNORECASE | re.MULTILINE,
)
_PERHAPS_ABBREVIATED = re.compile(r"\b(?:etc|al|inc|ltd|co|corp|approx|dept|est|jr|sr)$", re.IGNORECASE)
_LONGEST_BEFORE = 16


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
    ends = [match.end() for match in _BORDER.finditer(text) if not _is_abbreviation(text, match)]
    pieces = [text[first:last] for first, last in zip([0, *ends], [*ends, len(text)], strict=True)]
    return [0, *accumulate(len(piece.encode()) for piece in pieces)]


def _is_abbreviation(text: str, border: re.Match[str]) -> bool:
    """Return whether the point of what looks like a border belongs to the word before it."""
    if border["stop"] != "." or "\n\n" in border.group():
        return False
    before = unicodedata.normalize("NFC", text[max(0, border.start() - _LONGEST_BEFORE) : border.start()])
    # a mark is no part of a word to a pattern, and the last letter of a word with points would be an initial
    before = "".join("x" if unicodedata.category(char)[0] == "M" else char for char in before)
    follows_small = text[border.end() : border.end() + 1].islower()
    return bool(_ABBREVIATED.search(before) or (follows_small and _PERHAPS_ABBREVIATED.search(before)))
