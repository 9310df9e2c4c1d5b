from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data_pipeline.clean.measures import (
    ALPHA_WORDS,
    BULLET_LINES,
    CHARS,
    ELLIPSIS_LINES,
    HASHES,
    LINES,
    NUM_ELLIPSES,
    WORD_CHARS,
    WORDS,
    StopWords,
    measure,
    measure_one,
)
from data_pipeline.clean.measures import STOP_WORDS as STOP_WORDS_SEEN

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with", "où", "を")
SPACES = (" ", "\n", "\t", "\x1c", "\x85", "\xa0", "\u2028", "\u3000")
OTHERS = ("The", "then", "-", "•", "…", ".", "..", "...", "#", "1", "é", "ß", "语", "🎉", "\u0301", "\u200b", "𐐀")
telling = st.sampled_from(STOP_WORDS + SPACES + OTHERS)
texts = st.lists(telling | st.text(max_size=3), max_size=25).map("".join)


@given(st.lists(texts, max_size=6))
@example(["", "\n", "\n\n", "a\n", " - \n•x\n a...\n b… \n", "....", "......", ".. .", "the the of", "x"])
def test_the_kernel_equals_plain_python_on_every_text(many: list[str]) -> None:
    array = pa.array(["padding…", *many], pa.large_string()).slice(1)
    measured = measure(array, StopWords.of(STOP_WORDS))
    assert measured.tolist() == [measure_one(text, STOP_WORDS) for text in many]


@pytest.mark.filterwarnings("error")
@given(st.sets(st.text(st.characters(categories=["Ll"]), min_size=1, max_size=3), min_size=40, max_size=64))
def test_many_stop_words_find_a_table_without_a_warning(words: set[str]) -> None:
    """40 words of 1,024 slots share one at the first factor more often than not: others are tried."""
    given, text = tuple(sorted(words)), " ".join(sorted(words)[::2])
    array = pa.array([text], pa.large_string())
    assert measure(array, StopWords.of(given)).tolist() == [measure_one(text, given)]


def test_a_stop_word_given_twice_counts_once() -> None:
    words = ("the", "of", "the", "everything", "everything")
    text = "the one of everything"
    assert measure(pa.array([text], pa.large_string()), StopWords.of(words)).tolist() == [measure_one(text, words)]
    assert measure_one(text, words)[STOP_WORDS_SEEN] == 3


def test_every_code_point_is_classed_as_python_does() -> None:
    chars = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    many = ["a" + "b".join(chars[start : start + 1000]) for start in range(0, len(chars), 1000)]
    assert measure(pa.array(many, pa.large_string())).tolist() == [measure_one(text) for text in many]


def test_the_reference_counts_what_its_names_say() -> None:
    text = "# The cat, 42 ...\n- of and of\n\n• so it ends…\n"
    measures = measure_one(text, STOP_WORDS)
    assert (measures[CHARS], measures[WORDS], measures[WORD_CHARS]) == (45, 13, 31)
    assert (measures[ALPHA_WORDS], measures[STOP_WORDS_SEEN]) == (8, 2)
    assert (measures[HASHES], measures[NUM_ELLIPSES]) == (1, 2)
    assert (measures[LINES], measures[BULLET_LINES], measures[ELLIPSIS_LINES]) == (4, 2, 2)


@pytest.mark.parametrize("array", [pa.array([], pa.large_string()), pa.array(["", ""], pa.large_string())])
def test_nothing_is_measured_as_nothing(array: pa.LargeStringArray) -> None:
    assert measure(array).sum() == 0
    assert measure(array).shape == (len(array), 10)
