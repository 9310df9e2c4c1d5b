from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.decontaminate.words import char_class, char_classes, words

CLASSES = char_classes()


def test_classes_are_those_of_each_code_point() -> None:
    assert CLASSES.tolist() == [char_class(code) for code in range(0x110000)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't stop—DON’T!", "dont stop dont"),
        ("“Well-known” facts (e.g. 3.14)", "well known facts e g 3 14"),
        ("one\n  two\tthree", "one two three"),
        ("soft\xadhyphen zero\u200bwidth", "softhyphen zerowidth"),
        ("Straße STRASSE ﬁne ｆｉｎｅ", "strasse strasse fine fine"),
        ("e\u0301te\u0301 \u00e9t\u00e9", "\u00e9t\u00e9 \u00e9t\u00e9"),
        ("\u03b0 \u03ab\u0301 \u01f0", "\u03b0 \u03b0 \u01f0"),  # folding takes these letters apart
        ("**bold** _under_ `code`", "bold under code"),
        ("中文 字, ab中c", "中 文 字 ab 中 c"),
        ("\u0301 . \ufe0f", ""),
        ("ไทย", "ไ ท ย"),
        ("\u0e04\u0e33", "\u0e04\u0e4d \u0e32"),  # NFKC takes this vowel sign apart into a mark and a letter
    ],
)
def test_what_counts_as_a_word(text: str, expected: str) -> None:
    assert words(text) == expected.split()


@given(st.text(st.characters(codec="latin-1") | st.sampled_from("αβγςΣДжß中か"), max_size=30))
def test_case_cannot_change_the_words(text: str) -> None:
    assert words(text.upper()) == words(text.lower()) == words(text)


@given(st.lists(st.text(st.characters(categories=["Lu", "Ll", "Nd"], max_codepoint=0x24F), min_size=1), max_size=10))
def test_punctuation_and_wrapping_cannot_change_the_words(parts: list[str]) -> None:
    plain = words(" ".join(parts))
    assert words("\n\n".join(parts)) == words(", ".join(parts)) == words("” — “".join(parts)) == plain
    assert words("**" + "** _".join(parts) + "...") == plain
