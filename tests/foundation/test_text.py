from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.text import one_line, visible

ANYTHING = st.text(alphabet=st.characters())  # surrogates among them


@given(ANYTHING)
def test_nothing_that_controls_a_terminal_or_hides_is_left(text: str) -> None:
    shown = visible(text)
    shown.encode()  # a lone surrogate would fail here
    categories = {unicodedata.category(letter) for letter in shown if letter not in "\t\n"}
    assert not categories & {"Cc", "Cs", "Zl", "Zp"}
    bidirectional = {"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"}
    assert not {unicodedata.bidirectional(letter) for letter in shown} & bidirectional


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "S", "Zs"])))
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
