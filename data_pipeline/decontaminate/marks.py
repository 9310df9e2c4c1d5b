"""Long runs of marks, put in their canonical order before Python makes a normal form of them.

`unicodedata.normalize` sorts the marks behind a letter by insertion: a run of n that stand in the wrong order takes n^2
steps, and 2 MB of them half an hour. A run that is in order already takes n. To sort a text's marks gives another
spelling of the same text, so that no normal form changes: the stream-safe format of Unicode Standard Annex 15, section
13, which sets a joiner behind each 30 marks, is bounded as well, but leaves spellings apart that are equal.
"""

from __future__ import annotations

import functools
import unicodedata
from typing import Literal

import numpy as np

_LONG = 128  # marks in a row from which they are sorted here
_STEP = 16  # of so many in a row, every sixteenth is one
MARKED_PLANES = 0x20000  # behind these two planes stands no mark: looking at all planes costs a process 0.13 s
# what is no mark to the database and becomes marks alone: of Tibetan; in the compatible form kana's half-width voicing
_BECOME_MARKS = {"NFD": (0x0F73, 0x0F75, 0x0F81), "NFKD": (0x0F73, 0x0F75, 0x0F81, 0xFF9E, 0xFF9F)}


def may_hold_long_runs(text: str) -> bool:
    """Return whether a text may hold a long run of marks; most that hold none are passed by a look at a few letters."""
    return len(text) >= _LONG and len(_runs(text[::_STEP], "NFKD", _LONG // _STEP)) > 0


def marks_in_order(text: str, form: Literal["NFD", "NFKD"]) -> str:
    """Return a text with the same normal form, where each long run of marks is decomposed and in canonical order.

    Args:
        form: NFD for a text whose NFC or NFD is to be made, NFKD for the compatible ones.
    """
    parts, done = [], 0
    for first, stop in _runs(text, form, _LONG).tolist():
        run = text[first:stop]
        forms = {ord(char): unicodedata.normalize(form, char) for char in set(run)}
        parts += [text[done:first], "".join(sorted(run.translate(forms), key=unicodedata.combining))]
        done = stop
    return "".join([*parts, text[done:]])


def _runs(text: str, form: str, least: int) -> np.ndarray:
    """Return where runs of at least so many marks begin and stop, (r, 2) int64, in code points."""
    are_marks = _marks(form)[np.frombuffer(text.encode("utf-32-le"), np.uint32)]
    borders = np.flatnonzero(np.diff(are_marks, prepend=False, append=False)).reshape(-1, 2)
    return borders[borders[:, 1] - borders[:, 0] >= least]


@functools.cache
def _marks(form: str) -> np.ndarray:
    """Return which code points become non-starters alone in a form, (0x110000,) bool."""
    marks = np.zeros(0x110000, bool)
    marks[[code for code in range(MARKED_PLANES) if unicodedata.combining(chr(code))]] = True
    marks[list(_BECOME_MARKS[form])] = True
    return marks
