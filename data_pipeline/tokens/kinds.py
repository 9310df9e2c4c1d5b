"""What each byte of a text is part of: white space of four kinds, digits, marks, upper-case words, letters by script.

A tokenizer's cost differs most between these: a run of blanks may be one token or ten, a digit a third of one or a
whole, a letter of one script an eighth of one and of another three.
"""

from __future__ import annotations

import functools
import itertools
import unicodedata
from typing import Any

import numpy as np

from data_pipeline.compiled import kernel
from data_pipeline.utf8 import decode

# White space comes first: what lies above LINE_END is part of a word as `str.split` cuts it
(BLANK, BLANKS, INDENT, LINE_END, DIGIT, MARK, EMOJI, UPPER, OTHER, LATIN) = range(10)
SCRIPTS = (
    *("latin", "greek", "cyrillic", "armenian", "hebrew", "arabic", "devanagari", "bengali", "gujarati", "gurmukhi"),
    *("kannada", "malayalam", "tamil", "telugu", "sinhala", "thai", "lao", "tibetan", "myanmar", "khmer", "georgian"),
    *("ethiopic", "hangul", "hiragana", "katakana", "han", "other letters"),
)
NAMES = (
    "blanks between words",
    "runs of blanks",
    "indentation",
    "line ends",
    "digits",
    "punctuation and symbols",
    "emoji",
    "upper-case words",
    "other characters",
    *SCRIPTS,
)
NUM_KINDS = len(NAMES)
# of a character in the table: it goes with the one before; or it is an upper-case letter of the kind below the bit
WITH_BEFORE, IS_UPPER = 0xFF, 0x80
UPPER_CHARS = 2  # that an upper-case word has at least: `I` and `A` are written so in any text
NUM_CODES = 0x110000
_SCRIPTS = {name.upper(): LATIN + place for place, name in enumerate(SCRIPTS)} | {"CJK": LATIN + SCRIPTS.index("han")}
_JOINERS = (0x200C, 0x200D, 0xFE0E, 0xFE0F)  # zero-width joiners, variation selectors
# the blocks whose symbols (category So, and Sk of skin tones) are emoji. Source: Unicode 16, Blocks.txt, emoji-data.txt
_EMOJI = ((0x2600, 0x27BF), (0x2B00, 0x2BFF), (0x1F000, 0x1FAFF))


def char_table(data: np.ndarray) -> np.ndarray:
    """Return the kinds of a text's characters, (0x110000,) uint8 by code point; 0 for those that it has not.

    To ask Unicode's tables for all of them takes 0.4 s. data: (n,) uint8, UTF-8.
    """
    seen, table = np.zeros((2, NUM_CODES), np.uint8)
    seen[np.frombuffer(data.tobytes().decode().encode("utf-32-le"), np.uint32)] = 1
    for code in np.flatnonzero(seen):
        table[code] = char_kind(chr(code))
    return table


@functools.cache
def char_kind(char: str) -> int:
    """Return the kind of one code point, IS_UPPER added, or WITH_BEFORE.

    The script of a letter is the first word of its name in Unicode's tables, which Python has.
    """
    code, category = ord(char), unicodedata.category(char)
    if char.isspace():
        return LINE_END if char in "\r\n" else BLANK
    if category[0] == "L":
        script = _SCRIPTS.get(unicodedata.name(char, "").partition(" ")[0], NUM_KINDS - 1)
        return script | IS_UPPER if char.isupper() else script
    if category[0] == "M" or code in _JOINERS:
        return _SCRIPTS.get(unicodedata.name(char, "").partition(" ")[0], WITH_BEFORE)
    if category == "Nd":
        return DIGIT
    if category in ("So", "Sk") and any(first <= code <= last for first, last in _EMOJI):
        return EMOJI
    return MARK if category[0] in "NPS" else OTHER


def kinds_one(text: str) -> list[int]:
    """Return the kind of each character of a text: the reference that `mark_kinds` equals, byte by byte."""
    entries = [char_kind(char) for char in text]
    kinds: list[int] = []
    for entry in entries:
        before = kinds[-1] if kinds else OTHER
        after_blank = OTHER if before in (BLANK, LINE_END) else before
        kinds.append(after_blank if entry == WITH_BEFORE else entry & ~IS_UPPER)
    marked = list(kinds)
    start = 0
    for is_letter, run in itertools.groupby(range(len(text)), lambda place: kinds[place] >= LATIN):
        places = list(run)
        bases = [place for place in places if entries[place] != WITH_BEFORE]
        uppers = [entries[place] & IS_UPPER for place in bases]
        if is_letter and len(uppers) >= UPPER_CHARS and all(uppers):
            marked[places[0] : places[-1] + 1] = [UPPER] * len(places)
    for kind, run in itertools.groupby(range(len(text)), kinds.__getitem__):
        places = list(run)
        start = places[0]
        if kind == BLANK:
            begins_line = start == 0 or kinds[start - 1] == LINE_END
            of_run = INDENT if begins_line else BLANKS if len(places) > 1 else BLANK
            marked[start : places[-1] + 1] = [of_run] * len(places)
    return marked


@kernel
def mark_kinds(data: Any, offsets: Any, table: Any, kinds: Any) -> None:
    """Write the kind of each byte's character.

    Args:
        data: (n,) uint8, UTF-8 of texts from offsets[0] to offsets[-1]; offsets: (texts + 1,) int64.
        table: `char_table`.
        kinds: (n,) uint8, filled.
    """
    for text in range(offsets.size - 1):
        place, stop = offsets[text], offsets[text + 1]
        kind, begins_line = OTHER, True  # of the character before
        blank_start, blanks, word_start, letters, uppers = place, 0, place, 0, 0
        while place < stop:
            code, size = decode(data, place)
            entry = table[code]
            if entry != WITH_BEFORE:
                kind = entry & ~IS_UPPER & 0xFF
            elif kind <= LINE_END:
                kind = OTHER
            if kind == BLANK:
                if not blanks:
                    blank_start = place
                blanks += 1
            elif blanks:
                _fill(kinds, blank_start, place, INDENT if begins_line else BLANKS if blanks > 1 else BLANK)
                blanks = 0
            if kind >= LATIN:
                if not letters:
                    word_start = place
                letters += entry != WITH_BEFORE
                uppers += entry != WITH_BEFORE and entry & IS_UPPER != 0
            elif letters:
                if letters == uppers and letters >= UPPER_CHARS:
                    _fill(kinds, word_start, place, UPPER)
                letters, uppers = 0, 0
            if kind != BLANK:
                begins_line = kind == LINE_END
            _fill(kinds, place, place + size, kind)
            place += size
        if blanks:
            _fill(kinds, blank_start, stop, INDENT if begins_line else BLANKS if blanks > 1 else BLANK)
        if letters == uppers and letters >= UPPER_CHARS:
            _fill(kinds, word_start, stop, UPPER)


@kernel
def _fill(kinds: Any, start: int, stop: int, kind: int) -> None:
    for place in range(start, stop):
        kinds[place] = kind
