"""Long runs of marks in any order: the normal form is Python's own, and is made in steps that grow with the text."""

from __future__ import annotations

import unicodedata
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.decontaminate import marks, words
from data_pipeline.decontaminate.index import words_of_text
from data_pipeline.decontaminate.marks import marks_in_order, may_hold_long_runs
from data_pipeline.decontaminate.words import normal

# of several classes and of none, which fold to a letter, join the letter before, or are no marks but become some
MARKS = "\u0301\u0323\u0345\u0344\u05b7\u05bc\u3099\u0e49\u0f73\u0f71\u0f81\uff9e\u093c\U0001d165"
LETTERS = "ab\u03b1か\uff76\u1fbf\u00b4\u05d1\u0915 中\u0f40\U0001f600\n"


def runs(least: int, most: int) -> st.SearchStrategy[str]:
    """Runs of marks of a few kinds: what takes the time is their number."""
    kinds = st.lists(st.sampled_from(MARKS), min_size=1, max_size=5)
    return st.tuples(kinds, st.integers(least, most), st.randoms(use_true_random=False)).map(
        lambda drawn: "".join(drawn[2].choices(drawn[0], k=drawn[1]))
    )


TEXTS = st.lists(st.text(LETTERS, max_size=3) | runs(100, 300) | runs(1, 20), max_size=8).map("".join)


def plain(text: str) -> str:
    """What words.normal says, without a look at runs."""
    text = unicodedata.normalize("NFC", text)
    for sign in "\u00b4\u0384\u1fbd\u1fbf\u1ffe":
        text = text.replace(sign, "'")
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


@given(TEXTS)
def test_the_normal_form_is_pythons(text: str) -> None:
    assert normal(text) == plain(text)


@given(TEXTS)
def test_canonically_equal_texts_have_the_same_words(text: str) -> None:
    hashes = words_of_text(text).hashes.tolist()
    assert hashes == words_of_text(unicodedata.normalize("NFC", text)).hashes.tolist()
    assert hashes == words_of_text(unicodedata.normalize("NFD", text)).hashes.tolist()


def test_what_becomes_marks_alone_is_what_the_database_says() -> None:
    chars = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    for form in ("NFD", "NFKD"):
        decomposed = {char: unicodedata.normalize(form, char) for char in chars}
        begin = [ord(char) for char in chars if unicodedata.combining(decomposed[char][0])]
        assert marks._marks(form).nonzero()[0].tolist() == begin
        assert all(unicodedata.combining(each) for code in begin for each in decomposed[chr(code)])
    folded = (char for char in chars if unicodedata.combining(char.casefold()[0]) and not unicodedata.combining(char))
    assert list(folded) == []  # folding makes no new run


@pytest.mark.parametrize("run", ["\u0301\u0323", "\u0344\u0323", "\uff9e\u0301", "\u0f73\u0345\u0323", "\u05bc\u05b7"])
def test_two_megabytes_of_marks_are_sorted_before_python_would(run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's own sort never meets a long run out of order, which would take the square of its length."""
    text = f"か{run * (1_000_000 // len(run))} end"
    given_texts: list[str] = []

    class Watched:
        combining = staticmethod(unicodedata.combining)

        @staticmethod
        def normalize(form: Any, text: str) -> str:
            kind: Any = "NFKD" if "K" in form else "NFD"
            given_texts.append(text)
            assert steps_out_of_order(text, kind) < 1000, form
            return unicodedata.normalize(form, text)

    monkeypatch.setattr(words, "unicodedata", Watched)
    assert normal(text).endswith(" end")
    assert len(given_texts) == 3


def steps_out_of_order(text: str, form: Any) -> int:
    """How often a mark of lower class stands right behind one of a higher."""
    forms = {char: [unicodedata.combining(each) for each in unicodedata.normalize(form, char)] for char in set(text)}
    classes = [each for char in text for each in forms[char]]
    return sum(after < before and after > 0 for before, after in pairwise(classes))


def test_text_without_long_runs_is_not_looked_through() -> None:
    texts = ["Plain English. " * 100, unicodedata.normalize("NFD", "Tiếng Việt có nhiều dấu. " * 100), "x", ""]
    assert not any(may_hold_long_runs(text) for text in texts)
    assert may_hold_long_runs("a" * 50 + "\u0301" * 143)
    assert marks_in_order("a\u0301\u0323b", "NFD") == "a\u0301\u0323b"  # short runs are left to Python


def test_no_mark_stands_behind_the_planes_that_are_looked_at() -> None:
    assert not any(unicodedata.combining(chr(code)) for code in range(marks.MARKED_PLANES, 0x110000))
