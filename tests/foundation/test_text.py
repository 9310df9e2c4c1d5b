from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.text import number_of, one_line, visible

# Unicode's Prepended_Concatenation_Mark: signs that enclose the number after them, formats with a glyph of their own
SHOWN_FORMATS = "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
HANGUL = ("HANGUL FILLER", "CHOSEONG FILLER", "JUNGSEONG FILLER")
ANYTHING = st.text(alphabet=st.characters())  # surrogates among them


@given(ANYTHING)
def test_nothing_that_controls_a_terminal_or_hides_is_left(text: str) -> None:
    shown = visible(text)
    shown.encode()  # a lone surrogate would fail here
    categories = {unicodedata.category(letter) for letter in shown if letter not in "\t\n"}
    assert not categories & {"Cc", "Cs", "Zl", "Zp"}
    bidirectional = {"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"}
    assert not {unicodedata.bidirectional(letter) for letter in shown} & bidirectional


def hides(letter: str) -> bool:
    """Whether Unicode's own table says that a character has no glyph: by its category, or by its name."""
    if unicodedata.category(letter) == "Cf":
        return letter not in SHOWN_FORMATS
    name = unicodedata.name(letter, "")
    return any(word in name for word in ("VARIATION SELECTOR", "GRAPHEME JOINER", "VOWEL INHERENT", *HANGUL))


def test_every_character_without_a_glyph_is_drawn() -> None:
    hidden = [letter for letter in map(chr, range(sys.maxunicode + 1)) if hides(letter)]
    assert len(hidden) > 400  # 16 + 240 variation selectors, 97 tags, ...
    assert [letter for letter in hidden if visible(f"a{letter}b") != f"a\u27e8U+{ord(letter):04X}\u27e9b"] == []
    reserved = [0x2065, 0xFFF0, 0xE0000, 0xE0002, 0xE0080, 0xE0FFF]  # not yet assigned, and hidden when they are
    assert [code for code in reserved if visible(chr(code)) == chr(code)] == []


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "S", "Zs"]).filter(lambda letter: not hides(letter))))
def test_ordinary_text_is_left_as_it_is(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "␛[31mred"),
        ("a\x00b\x7f", "a␀b␡"),
        ("evil\u202etxt.exe", "evil⟨U+202E⟩txt.exe"),
        ("a\u200bb", "a⟨U+200B⟩b"),
        ("word\u2060joiner", "word⟨U+2060⟩joiner"),
        ("\ufeffbyte order mark", "⟨U+FEFF⟩byte order mark"),
        ("\ufff9note\ufffb", "⟨U+FFF9⟩note⟨U+FFFB⟩"),
        ("soft\u00adhyphen", "soft⟨U+00AD⟩hyphen"),
        ("heart\ufe0f\U000e0100", "heart⟨U+FE0F⟩⟨U+E0100⟩"),
        ("\U000e0069\U000e006e\U000e007f", "⟨U+E0069⟩⟨U+E006E⟩⟨U+E007F⟩"),
        ("half \ud83d", "half ⟨U+D83D⟩"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("carriage\rreturn", "carriage␍return"),
    ],
)
def test_what_is_drawn(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(ANYTHING, st.integers(1, 40))
def test_one_line_is_one_line_of_at_most_so_many_characters(text: str, most: int) -> None:
    line = one_line(text, most)
    assert len(line) <= most
    assert len(line.splitlines()) <= 1


def test_a_cut_line_ends_with_an_ellipsis() -> None:
    assert one_line("abcdef", 4) == "abc…"
    assert one_line("abcd", 4) == "abcd"
    assert one_line("a\nb") == "a␊b"


def test_one_of_a_thing_is_no_plural() -> None:
    assert [number_of(n, "document") for n in (0, 1, 1234)] == ["0 documents", "1 document", "1,234 documents"]
