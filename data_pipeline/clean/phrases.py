"""Phrases sought in UTF-8 bytes, whatever the case of ASCII letters, by their first two bytes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

START_BYTES = 3
_CASE = np.uint8(0x20)
_LOWER = {ord(upper): upper.lower() for upper in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


@dataclass(frozen=True, slots=True)
class Phrases:
    """Phrases as the kernels read them.

    Attributes:
        heads: (65536,) int32: of two bytes, the first phrase that begins so + 1, or 0.
        data, offsets: (n,) uint8, (phrases + 1,) int64: the phrases in lower case, sorted.
        roles: (phrases,) int64: what each was given for.
        starts: (starts, START_BYTES) uint8: the different first bytes of those that have so many, with the bit of lower
            case set in each.
    """

    heads: np.ndarray
    data: np.ndarray
    offsets: np.ndarray
    roles: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, phrases: dict[str, int]) -> Phrases:
        """Return phrases, each of 2 bytes or more, with their roles."""
        encoded = sorted((lower_ascii(phrase).encode(), role) for phrase, role in phrases.items())
        heads = np.zeros(1 << 16, np.int32)
        for number, (phrase, _) in reversed(list(enumerate(encoded))):
            first, second = phrase[:1].decode("latin-1"), phrase[1:2].decode("latin-1")
            for one, other in product(_cases(first), _cases(second)):
                heads[one << 8 | other] = number + 1
        offsets = np.cumsum([0, *(len(phrase) for phrase, _ in encoded)], dtype=np.int64)
        data = np.frombuffer(b"".join(phrase for phrase, _ in encoded), np.uint8)
        starts = sorted({phrase[:START_BYTES] for phrase, _ in encoded if len(phrase) >= START_BYTES})
        lower = np.frombuffer(b"".join(starts), np.uint8).reshape(-1, START_BYTES) | _CASE
        return cls(heads, data, offsets, np.array([role for _, role in encoded], np.int64), lower)

    def arrays(self) -> tuple[np.ndarray, ...]:
        """Return the arrays in the order in which the kernels take them."""
        return self.heads, self.data, self.offsets, self.roles, self.starts


def lower_ascii(text: str) -> str:
    """Return a text with the letters A to Z in lower case, and no others: what phrases are compared with."""
    return text.translate(_LOWER)


def _cases(byte: str) -> set[int]:
    return {ord(byte), ord(byte.upper())} if byte.isascii() else {ord(byte)}


def is_word_char(char: str) -> bool:
    """Return whether a character belongs to a word: letters of any script, 0 to 9 and the underscore."""
    return char.isalpha() or char in "0123456789_"
