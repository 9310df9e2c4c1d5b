"""Which texts have no word: nothing can be learned from them, whatever the rules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from data_pipeline.clean.chars import (
    SPACE,
    char_classes,
)
from data_pipeline.compiled import kernel
from data_pipeline.documents import utf8_buffers
from data_pipeline.utf8 import decode

EMPTY = "empty"  # the reason


def without_words(texts: pa.LargeStringArray) -> np.ndarray:
    """Return which texts are empty or white space alone, (texts,) bool; a text is read up to its first word.

    Args:
        texts: without nulls.
    """
    data, offsets = utf8_buffers(texts)
    found = np.zeros(len(texts), np.bool_)
    _without_words(data, offsets, char_classes(), found)
    return found


def is_without_words(text: str) -> bool:
    """Return the same of one text: the reference in plain Python."""
    return not text.split()


@kernel
def _without_words(data: Any, offsets: Any, classes: Any, found: Any) -> None:
    for text in range(offsets.size - 1):
        place, stop = offsets[text], offsets[text + 1]
        while place < stop:
            char, size = decode(data, place)
            if classes[char] != SPACE:
                break
            place += size
        found[text] = place >= stop
