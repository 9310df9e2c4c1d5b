"""What kinds of personal data a text may hold: one pass over the bytes, so that most texts cost no more than this.

A hint is a necessary condition: `pii_kinds` finds nothing of a kind where its hint is missing.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa

from data_pipeline.compiled import array_kernel
from data_pipeline.documents import utf8_buffers

# Bits of a text's hints.
EMAIL, IPV4, IPV6, PLUS, PHONE, CARD, IBAN = (1 << place for place in range(7))

PHONE_DIGITS, CARD_DIGITS = 7, 13  # fewest of a number with separators
MAX_SEPARATORS = 2  # in a row inside a number, as between `)` and the next digit

_DOTTED = re.compile(r"[0-9.]+")
_COLONS = re.compile(r"[0-9A-Fa-f:]+")
_NUMBER = re.compile(r"[0-9](?:[ .()/\-\u0080-\U0010ffff]{0,2}+[0-9])*+")
_IBAN = re.compile(r"(?<![0-9A-Za-z])[A-Za-z]{2}[0-9]{2}")


def hints_of_one(text: str) -> int:
    """Return the hints of one text: the reference that `hints_of` equals."""
    hints = EMAIL if "@" in text else 0
    hints |= PLUS if "+" in text else 0
    hints |= IBAN if _IBAN.search(text) else 0
    for run in _DOTTED.findall(text):
        hints |= IPV4 if run.count(".") >= 3 and len(run) - run.count(".") >= 4 else 0
    for run in _COLONS.findall(text):
        hints |= IPV6 if run.count(":") >= 2 and re.search("[0-9]", run) else 0
    for run in _NUMBER.findall(text):
        digits = len(re.findall("[0-9]", run))
        hints |= (PHONE if digits >= PHONE_DIGITS else 0) | (CARD if digits >= CARD_DIGITS else 0)
    return hints


def hints_of(texts: pa.LargeStringArray) -> np.ndarray:
    """Return the hints of each text, (texts,) uint8.

    Args:
        texts: without nulls.
    """
    data, offsets = utf8_buffers(texts)
    hints = np.zeros(len(texts), np.uint8)
    _hints(data, offsets, hints)
    return hints


@array_kernel
def _hints(data: Any, offsets: Any, hints: Any) -> None:
    for text in range(offsets.size - 1):
        hints[text] = _hints_of_text(data, offsets[text], offsets[text + 1])


@array_kernel
def _hints_of_text(data: Any, start: int, stop: int) -> int:
    """Return the hints of data[start:stop], which is valid UTF-8."""
    hints = 0
    dots, dotted_digits = 0, 0  # of the run of digits and dots
    colons, has_digit = 0, False  # of the run of hexadecimal digits and colons
    digits, separators = 0, 0  # of the number, and since its last digit
    letters, after = 0, 0  # of the word, and the digits after them where it is nothing else; -1: it is another word
    for place in range(start, stop):
        byte = data[place]
        if 0x30 <= byte <= 0x39:
            dotted_digits += 1
            has_digit = True
            digits = digits + 1 if separators <= MAX_SEPARATORS else 1
            separators = 0
            after = after + 1 if letters == 2 and after >= 0 else -1
            hints |= IBAN if after == 2 else 0
            hints |= PHONE if digits >= PHONE_DIGITS else 0
            hints |= CARD if digits >= CARD_DIGITS else 0
            hints |= IPV4 if dots >= 3 and dotted_digits >= 4 else 0
            hints |= IPV6 if colons >= 2 else 0
            continue
        is_letter = 0x41 <= byte | 0x20 <= 0x5A | 0x20 and byte >= 0x41
        if byte == 0x2E:
            dots += 1
            hints |= IPV4 if dots >= 3 and dotted_digits >= 4 else 0
        else:
            dots, dotted_digits = 0, 0
        if byte == 0x3A:
            colons += 1
            hints |= IPV6 if colons >= 2 and has_digit else 0
        elif not (is_letter and byte | 0x20 <= 0x66):
            colons, has_digit = 0, False
        if is_letter:
            letters, after = (letters + 1, 0) if after == 0 and letters >= 0 else (0, -1)
        else:
            letters, after = 0, 0
        if byte >= 0xC0 or byte in (0x20, 0x2E, 0x28, 0x29, 0x2F, 0x2D):
            separators += 1
        elif byte < 0x80:
            digits, separators = 0, 0
        hints |= EMAIL if byte == 0x40 else PLUS if byte == 0x2B else 0
    return hints
