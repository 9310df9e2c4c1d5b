"""Characters as the kernels meet them: in UTF-8, byte by byte, classed as `str` classes them."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from data_pipeline.compiled import kernel
from data_pipeline.utf8 import decode, decode_last

SPACE, LETTER = 1, 2  # classes of characters; 0 is any other
LETTERS_BELOW = 0x40000  # planes above the third have no letters and no white space: tested on every code point
NEWLINE = 0x0A
# What a byte is to one who looks for white space. Most characters are told by their first byte
PLAIN, GAP, PERHAPS_GAP = 0, 1, 2

# fmt: off
# The marks that end a sentence, in any script: the code points with the property Sentence_Terminal in Unicode 18.0,
# PropList.txt, as first and last of a run
_SENTENCE_TERMINALS = (
    (0x21, 0x21), (0x2E, 0x2E), (0x3F, 0x3F), (0x589, 0x589), (0x61D, 0x61F), (0x6D4, 0x6D4), (0x700, 0x702),
    (0x7F9, 0x7F9), (0x837, 0x837), (0x839, 0x839), (0x83D, 0x83E), (0x964, 0x965), (0x104A, 0x104B),
    (0x1362, 0x1362), (0x1367, 0x1368), (0x166E, 0x166E), (0x1735, 0x1736), (0x17D4, 0x17D5), (0x1803, 0x1803),
    (0x1809, 0x1809), (0x1944, 0x1945), (0x1AA8, 0x1AAB), (0x1B4E, 0x1B4F), (0x1B5A, 0x1B5B), (0x1B5E, 0x1B5F),
    (0x1B7D, 0x1B7F), (0x1C3B, 0x1C3C), (0x1C7E, 0x1C7F), (0x2024, 0x2024), (0x203C, 0x203D), (0x2047, 0x2049),
    (0x2CF9, 0x2CFB), (0x2E2E, 0x2E2E), (0x2E3C, 0x2E3C), (0x2E53, 0x2E54), (0x2E60, 0x2E61), (0x3002, 0x3002),
    (0xA4FF, 0xA4FF), (0xA60E, 0xA60F), (0xA6F3, 0xA6F3), (0xA6F7, 0xA6F7), (0xA876, 0xA877), (0xA8CE, 0xA8CF),
    (0xA92F, 0xA92F), (0xA9C8, 0xA9C9), (0xAA5D, 0xAA5F), (0xAAF0, 0xAAF1), (0xABEB, 0xABEB), (0xFE12, 0xFE12),
    (0xFE15, 0xFE16), (0xFE52, 0xFE52), (0xFE56, 0xFE57), (0xFF01, 0xFF01), (0xFF0E, 0xFF0E), (0xFF1F, 0xFF1F),
    (0xFF61, 0xFF61), (0x10A56, 0x10A57), (0x10F55, 0x10F59), (0x10F86, 0x10F89), (0x11047, 0x11048),
    (0x110BE, 0x110C1), (0x11141, 0x11143), (0x111C5, 0x111C6), (0x111CD, 0x111CD), (0x111DE, 0x111DF),
    (0x11238, 0x11239), (0x1123B, 0x1123C), (0x112A9, 0x112A9), (0x113D4, 0x113D5), (0x1144B, 0x1144C),
    (0x115C2, 0x115C3), (0x115C9, 0x115D7), (0x11641, 0x11642), (0x1173C, 0x1173E), (0x11944, 0x11944),
    (0x11946, 0x11946), (0x11A42, 0x11A43), (0x11A9B, 0x11A9C), (0x11C41, 0x11C42), (0x11EF7, 0x11EF8),
    (0x11F43, 0x11F44), (0x16A6E, 0x16A6F), (0x16AF5, 0x16AF5), (0x16B37, 0x16B38), (0x16B44, 0x16B44),
    (0x16D6E, 0x16D6F), (0x16E98, 0x16E98), (0x1BC9F, 0x1BC9F), (0x1DA88, 0x1DA88),
)
# fmt: on
SENTENCE_TERMINALS = tuple(chr(code) for first, last in _SENTENCE_TERMINALS for code in range(first, last + 1))


@kernel
def stripped(data: Any, start: int, stop: int, classes: Any) -> tuple[int, int]:
    """Return where data[start:stop] begins and ends without the white space around it."""
    while start < stop:
        char, size = decode(data, start)
        if classes[char] != SPACE:
            break
        start += size
    while start < stop:
        char, place = decode_last(data, start, stop)
        if classes[char] != SPACE:
            break
        stop = place
    return start, stop


@functools.cache
def char_classes() -> np.ndarray:
    """Return the class of every code point, (0x110000,) uint8, from `str.isspace` and `str.isalpha`; 0.05 s, once."""
    classes = np.zeros(0x110000, np.uint8)
    chars = [chr(code) for code in range(LETTERS_BELOW)]
    classes[: len(chars)] = np.fromiter(map(str.isalpha, chars), np.bool_, len(chars)) * np.uint8(LETTER)
    classes[: len(chars)][np.fromiter(map(str.isspace, chars), np.bool_, len(chars))] = SPACE
    return classes


def fold(text: str) -> str:
    """Return a text in small letters, character by character: as many as before, whatever stands beside them."""
    return "".join(low if len(low := char.lower()) == 1 else char for char in text)


@functools.cache
def folded_codes() -> np.ndarray:
    """Return what `fold` makes of every code point, (0x110000,) int32; 0.1 s, once."""
    return np.frombuffer(fold("".join(map(chr, range(0x110000)))).encode("utf-32-le", "surrogatepass"), dtype="<i4")


@functools.cache
def byte_kinds() -> np.ndarray:
    """Return what each byte is, (256,) uint8: PLAIN, GAP or PERHAPS_GAP (may begin wide white space)."""
    kinds = np.zeros(256, np.uint8)
    for code in np.flatnonzero(char_classes() == SPACE).tolist():
        kinds[chr(code).encode()[0]] = GAP if code < 0x80 else PERHAPS_GAP
    return kinds


@functools.cache
def char_set(chars: tuple[str, ...]) -> np.ndarray:
    """Return whether each code point is one of `chars`, (0x110000,) uint8."""
    members = np.zeros(0x110000, np.uint8)
    members[[ord(char) for char in chars]] = 1
    return members
