"""The words by which a document and a test item are compared, whatever the white space and punctuation between them.

A text becomes its NFKC form, case-folded. Then
- letters, digits and the marks on them make words; everything else (white space, punctuation, symbols) ends a word, and
  so does a zero width space, which is written between words, and a visible sign that is a format character to Unicode
  (the Arabic signs of a verse, a year, a page);
- apostrophes and other invisible characters (soft hyphens, joiners, byte order marks, variation selectors, Mongolian
  vowel separators, which stand inside a word) are dropped: don't, don’t, don´t = dont;
- a letter of a script whose lines may break at any letter (Chinese, Japanese, Thai, Korean, ...) is a word of its own:
  where a line is broken inside a sentence, or a space set inside a phrase, must not matter there either;
- a mark without a letter before it is dropped.
So white space and punctuation between words can't change them, nor line breaks inside the words of such a script, nor
case (but for a few letters as the Turkish ı, whose capital is I). What stands inside a word of another script can,
where the text alone doesn't say what was meant:
- a word broken at a line's end with a hyphen (south-, ern) is two, as well-known is, which may be broken there, too;
- 1,000 is two words and 1000 one, since "1,000" may be a list; e-mail is two words and email one;
- two words with a joiner or a byte order mark in place of the space between them are one.
A lone vowel or tail of Hangul (as in chats) is joined by NFKC to the consonant or syllable right before it, not to one
before a line's end.
Source: lower case and punctuation as in GPT-3's decontamination, arXiv:2005.14165, appendix C; rewrapping as in
marin-community/marin#6852, where it dropped recall from 0.87 to 0.
"""

from __future__ import annotations

import functools
import unicodedata

import numpy as np

from data_pipeline.decontaminate.kernels import ALONE, BREAK, DROPPED, LETTER, MARK
from data_pipeline.decontaminate.marks import marks_in_order, may_hold_long_runs

# signs that people use as apostrophes, after those that look like one in Unicode Technical Standard 39, without letters
APOSTROPHES = frozenset(
    "'`\u00b4\u02b9\u02bb\u02bc\u02bd\u02be\u02bf\u02c8\u02ca\u02cb\u0384\u055a\u05f3\u1fbd\u1fbf\u1ffe"
    "\u2018\u2019\u201b\u2032\u2035\u275b\u275c\ua78c"
)
_SPACED = "\u00b4\u0384\u1fbd\u1fbf\u1ffe"  # of these, whose NFKC form is a space and a mark
# scripts whose lines may break at any letter, after Unicode Standard Annex 14: code points, first to last, Unicode 16
_SPACELESS = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1100, 0x11FF),  # Hangul in parts: an old syllable that is no code point
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
    (0xA960, 0xA97F),  # Hangul in parts, extended-A
    (0xAA60, 0xAADF),  # Myanmar extended-A, Tai Viet
    (0xAC00, 0xD7FF),  # Hangul, and in parts, extended-B
    (0xF900, 0xFAFF),  # compatibility ideographs
    (0x11700, 0x1174F),  # Ahom
    (0x17000, 0x18D7F),  # Tangut, Khitan
    (0x1AFF0, 0x1B2FF),  # kana extensions, Nushu
    (0x20000, 0x3FFFF),  # ideographs, extensions B and later
)
# what is a format character and ends a word: a zero width space; visible signs that stand before a number (Unicode's
# Prepended_Concatenation_Mark), but for the Syriac abbreviation mark, U+070F, a line over the letters of one word
_FORMATS_THAT_BREAK = frozenset({0x200B, *range(0x0600, 0x0606), 0x06DD, 0x0890, 0x0891, 0x08E2, 0x110BD, 0x110CD})
# what is invisible and no format character to Unicode, but a mark or a letter
_INVISIBLE = (
    (0x034F, 0x034F),  # combining grapheme joiner
    (0x115F, 0x1160),  # Hangul fillers
    (0x17B4, 0x17B5),  # Khmer inherent vowels
    (0x180B, 0x180F),  # Mongolian variation selectors and vowel separator
    (0xFE00, 0xFE0F),  # variation selectors
    (0xE0100, 0xE01EF),
)
ASSIGNED = ((0, 0x3FFFF), (0xE0000, 0xE0FFF))  # the planes with letters, marks or format characters


def normal(text: str) -> str:
    """Return the text in the form whose code points are classed: NFKC and case-folded, NFKC again.

    An apostrophe that NFKC would take apart into a space and a mark becomes the plain one first.
    """
    has_long_runs = may_hold_long_runs(text)
    text = marks_in_order(text, "NFD") if has_long_runs else text
    text = unicodedata.normalize("NFC", text)  # one of them may be the beginning of another sign
    for sign in _SPACED:
        text = text.replace(sign, "'")
    text = marks_in_order(text, "NFKD") if has_long_runs else text
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
    if code in _FORMATS_THAT_BREAK:
        return BREAK
    if char in APOSTROPHES or category == "Cf" or _lies_in(code, _INVISIBLE):
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
    for first, last in _INVISIBLE:
        classes[first : last + 1] = DROPPED
    classes[[ord(char) for char in APOSTROPHES]] = DROPPED
    classes[list(_FORMATS_THAT_BREAK)] = BREAK
    return classes


def _lies_in(code: int, ranges: tuple[tuple[int, int], ...]) -> bool:
    return any(first <= code <= last for first, last in ranges)
