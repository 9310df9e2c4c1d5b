from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.decontaminate.index import words_of_text
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
        ("soft\xadhyphen zero\u200bwidth \ufeffno\u2060break\u200d", "softhyphen zero width nobreak"),
        ("gra\u034fpheme \u3164fil\u115fl\u1160er\uffa0", "grapheme filler"),
        ("\u182c\u1820\u1828\u180e\u1820", "\u182c\u1820\u1828\u1820"),  # Mongolian, a vowel separator in one word
        ("Straße STRASSE ﬁne ｆｉｎｅ", "strasse strasse fine fine"),
        ("e\u0301te\u0301 \u00e9t\u00e9", "\u00e9t\u00e9 \u00e9t\u00e9"),
        ("\u03b0 \u03ab\u0301 \u01f0", "\u03b0 \u03b0 \u01f0"),  # folding takes these letters apart
        ("**bold** _under_ `code`", "bold under code"),
        ("中文 字, ab中c", "中 文 字 ab 中 c"),
        ("\u0301 . \ufe0f", ""),
        ("한국어 질문A", "한 국 어 질 문 a"),
        ("\u1112\u119e\u11ab", "\u1112 \u119e \u11ab"),  # an old syllable
        ("5\u203210\u2033 = 5'10''", "510 510"),
        ("\u1fcda \u1fbf\u0300a", "a a"),  # psili and varia, one sign and two
        (
            "\u0643\u0644\u06dd\u0661\u0662\u0642 \u0635\u0603\u0663",
            "\u0643\u0644 \u0661\u0662\u0642 \u0635 \u0663",
        ),  # Arabic signs
        ("\u0729\u070f\u0715\u0721", "\u0729\u0715\u0721"),  # Syriac, one abbreviated word
        # where nobody can say which was meant
        ("south-\nern southern well-\nknown well-known", "south ern southern well known well known"),
        ("1,000 1000 1, 2 1,2", "1 000 1000 1 2 1 2"),
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


def test_canonically_equal_spellings_have_the_same_words() -> None:
    """Hebrew with its points: as NFC orders them, and as they are typed, the dagesh and the shin's dot first."""
    ordered = "\u05d1\u05bc\u05b0\u05e8\u05b5\u05d0\u05e9\u05c1\u05b4\u05d9\u05ea \u05d1\u05bc\u05b8\u05e8\u05b8\u05d0"
    ordered = unicodedata.normalize("NFC", ordered)
    typed = re.sub("([\u05b0-\u05bb])([\u05bc\u05c1])", r"\2\1", ordered)
    assert typed != ordered
    assert words(typed) == words(ordered)
    assert words_of_text(typed).hashes.tolist() == words_of_text(ordered).hashes.tolist()
