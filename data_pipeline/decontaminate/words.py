"""The words by which a document and a test item are compared: white space, case and punctuation can't change them.

A text becomes its NFKC form, case-folded. Then
- letters, digits and the marks on them make words; everything else (white space, punctuation, symbols) ends a word;
- apostrophes and invisible characters (soft hyphens, joiners, variation selectors) are dropped: don't, don’t = dont;
- a letter of a script written without spaces (Chinese, Japanese, Thai, ...) is a word of its own: where a line is
  broken inside a sentence must not matter there either;
- a mark without a letter before it is dropped.
Source: lower case and punctuation as in GPT-3's decontamination, arXiv:2005.14165, appendix C; rewrapping as in
marin-community/marin#6852, where it dropped recall from 0.87 to 0.
"""

from __future__ import annotations

import functools
import unicodedata

import numpy as np

from data_pipeline.decontaminate.kernels import ALONE, BREAK, DROPPED, LETTER, MARK

_APOSTROPHES = frozenset("'`\u2018\u2019\u201b\u02b9\u02bb\u02bc\u02bd\u05f3\ua78c")
# scripts whose lines may break at any letter, after Unicode Standard Annex 14: code points, first to last, Unicode 16
_SPACELESS = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19DF),  # Tai Le, New Tai Lue
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x1B00, 0x1B7F),  # Balinese
    (0x3005, 0x3007),  # ideographic iteration mark and zero
    (0x3040, 0x312F),  # kana, Bopomofo
    (0x31A0, 0x31FF),  # Bopomofo and kana extensions
    (0x3400, 0x4DBF),  # ideographs, extension A
    (0x4E00, 0xA4CF),  # ideographs, Yi
    (0xA980, 0xA9FF),  # Javanese, Myanmar extended-B
    (0xAA00, 0xAA5F),  # Cham
    (0xAA60, 0xAADF),  # Myanmar extended-A, Tai Viet
    (0xF900, 0xFAFF),  # compatibility ideographs
    (0x11700, 0x1174F),  # Ahom
    (0x17000, 0x18D7F),  # Tangut, Khitan
    (0x1AFF0, 0x1B2FF),  # kana extensions, Nushu
    (0x20000, 0x3FFFF),  # ideographs, extensions B and later
)
_VARIATION_SELECTORS = ((0xFE00, 0xFE0F), (0xE0100, 0xE01EF))
ASSIGNED = ((0, 0x3FFFF), (0xE0000, 0xE0FFF))  # the planes with letters, marks or format characters


def normal(text: str) -> str:
    """Return the text in the form whose code points are classed: NFKC and case-folded, NFKC again."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def words(text: str) -> list[str]:
    """Return the words of a text: the definition, which kernels.hash_words follows."""
    found: list[str] = []
    is_open = is_alone = False  # whether a word has begun and may go on; whether it is a spaceless script's letter
    for char in normal(text):
        kind = char_class(ord(char))
        if kind == BREAK:
            is_open = False
        elif kind == ALONE or (kind == LETTER and (is_alone or not is_open)):
            found.append(char)
            is_open, is_alone = True, kind == ALONE
        elif kind == LETTER or (kind == MARK and is_open):
            found[-1] += char
    return found


def char_class(code: int) -> int:
    """Return BREAK, LETTER, ALONE, MARK or DROPPED for a code point."""
    char = chr(code)
    category = unicodedata.category(char)
    if char in _APOSTROPHES or category == "Cf" or _lies_in(code, _VARIATION_SELECTORS):
        return DROPPED
    if category[0] == "M":
        return MARK
    if category[0] not in "LN":
        return BREAK
    return ALONE if _lies_in(code, _SPACELESS) else LETTER


@functools.cache
def char_classes() -> np.ndarray:
    """Return the char_class of every code point, (0x110000,) uint8. Made once, it travels to the workers."""
    classes = np.full(0x110000, BREAK, np.uint8)
    for first, last in ASSIGNED:
        categories = np.array([unicodedata.category(chr(code)) for code in range(first, last + 1)])
        majors, part = categories.astype("U1"), classes[first : last + 1]
        part[(majors == "L") | (majors == "N")] = LETTER
        part[majors == "M"] = MARK
        part[categories == "Cf"] = DROPPED
    for first, last in _SPACELESS:
        part = classes[first : last + 1]
        part[part == LETTER] = ALONE
    for first, last in _VARIATION_SELECTORS:
        classes[first : last + 1] = DROPPED
    classes[[ord(char) for char in _APOSTROPHES]] = DROPPED
    return classes


def _lies_in(code: int, ranges: tuple[tuple[int, int], ...]) -> bool:
    return any(first <= code <= last for first, last in ranges)
