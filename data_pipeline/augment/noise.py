"""Typing errors: letters inside words exchanged, dropped or doubled."""

from __future__ import annotations

import functools
import unicodedata
from typing import Any

import numpy as np
import pyarrow as pa

from data_pipeline.augment.augmentation import Change
from data_pipeline.augment.lots import unit, unit_one
from data_pipeline.clean.chars import (
    LETTER,
)
from data_pipeline.compiled import kernel
from data_pipeline.documents import utf8_buffers
from data_pipeline.utf8 import decode
from foundation.errors import require

_BOUND = 3  # a mark or a joiner: it belongs to the letter before it
_JOINERS = "\u200c\u200d"


class Noise(Change):
    """Exchanges, drops or doubles letters inside words, as typing does.

    A letter is inside a word where a letter stands right before it and no mark belongs to it. Each such letter draws
    one lot: it changes places with the letter before it, is dropped, is doubled, or stays. So digits, punctuation and
    white space stay, as do the first letters of words but for an exchange, and letters with combining marks.

    Args:
        frac: share of the training documents that get copies.
        copies: of each of these.
        swap_rate: share of the letters inside words that change places with the one before.
        drop_rate: share of them that are dropped.
        double_rate: share of them that are doubled.
        seed: another seed chooses other documents and letters.
    Raises:
        SettingError: a value that can't work.
    """

    name = "noise"

    def __init__(
        self,
        frac: float = 0.1,
        copies: int = 1,
        swap_rate: float = 0.005,
        drop_rate: float = 0.005,
        double_rate: float = 0.005,
        seed: int = 0,
    ) -> None:
        super().__init__(frac, copies, seed)
        rates = {"swap_rate": swap_rate, "drop_rate": drop_rate, "double_rate": double_rate}
        for name, rate in rates.items():
            require(0 <= rate <= 1, name, rate, "a share from 0 to 1")
        total = sum(rates.values())
        require(
            0 < total <= 1, "swap_rate", total, "rates that add up, with drop_rate and double_rate, to above 0, up to 1"
        )
        self._limits = np.cumsum([*rates.values()])

    def change(self, batch: pa.RecordBatch, seeds: np.ndarray) -> pa.LargeStringArray:
        data, offsets = utf8_buffers(batch.column("text"))
        out = np.empty(2 * int(offsets[-1] - offsets[0]), np.uint8)
        ends = np.zeros(len(offsets), np.int64)
        swap, drop, double = self._limits.tolist()
        _add_noise(data, offsets, seeds, _classes(), swap, drop, double, out, ends)
        written = out[: ends[-1]].copy()  # what is kept of it need not hold the room for letters that were not doubled
        return pa.LargeStringArray.from_buffers(len(seeds), pa.py_buffer(ends), pa.py_buffer(written))

    def change_one(self, text: str, seed: int) -> str:
        """Return a copy's text: the reference that `change` equals."""
        swap, drop, double = self._limits.tolist()
        classes = _classes()
        kinds = [int(classes[ord(char)]) for char in text] + [0]
        out: list[str] = []
        lots = 0
        for place, char in enumerate(text):
            is_inside = kinds[place] == LETTER and place > 0 and kinds[place - 1] == LETTER
            lot = 1.0
            if is_inside:
                lot, lots = unit_one(seed, lots), lots + 1
            if kinds[place + 1] == _BOUND or lot >= double:
                out.append(char)
            elif lot < swap:
                out.insert(-1, char)
            elif lot >= drop:
                out += [char, char]
        return "".join(out)


@functools.cache
def _classes() -> np.ndarray:
    """Return the class of every code point, (0x110000,) uint8: LETTER, _BOUND or 0; 0.2 s, once a process."""
    classes = bytearray(0x110000)
    for code in range(len(classes)):
        char = chr(code)
        if char.isalpha():
            classes[code] = LETTER
        elif char in _JOINERS or unicodedata.category(char)[0] == "M":
            classes[code] = _BOUND
    return np.frombuffer(bytes(classes), dtype=np.uint8)


@kernel
def _add_noise(
    data: Any, offsets: Any, seeds: Any, classes: Any, swap: float, drop: float, double: float, out: Any, ends: Any
) -> None:
    """Fill `out` and `ends` (texts + 1,) int64, whose first is 0.

    Args:
        swap, drop, double: what a lot lies below of a letter that is exchanged, dropped, doubled.
        out: (2 * bytes of the texts,) uint8.
    """
    filled = 0
    for text in range(offsets.size - 1):
        place, stop = offsets[text], offsets[text + 1]
        lots = np.uint64(0)
        was_letter, last = False, filled  # last: where in `out` the letter before begins
        while place < stop:
            char, size = decode(data, place)
            is_letter = classes[char] == LETTER
            lot = 1.0
            if is_letter and was_letter:
                lot = unit(seeds[text], lots)
                lots += np.uint64(1)
            was_letter = is_letter
            if lot < double and place + size < stop and classes[decode(data, place + size)[0]] == _BOUND:
                lot = 1.0
            if lot < swap:
                for byte in range(filled - 1, last - 1, -1):
                    out[byte + size] = out[byte]
                filled += size
                last = _put(data, place, size, out, last)
            elif lot >= drop:
                last, filled = filled, _put(data, place, size, out, filled)
                if lot < double:
                    last, filled = filled, _put(data, place, size, out, filled)
            place += size
        ends[text + 1] = filled


@kernel
def _put(data: Any, place: int, size: int, out: Any, filled: int) -> int:
    for byte in range(size):
        out[filled + byte] = data[place + byte]
    return filled + size
