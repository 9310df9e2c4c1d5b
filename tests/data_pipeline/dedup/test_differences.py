from __future__ import annotations

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.dedup.differences import CHARS_BEFORE, CHARS_BEHIND, GAP, WORDS_BEFORE, excerpts

WORDS = [f"w{i}" for i in range(3000)]


def edited(start: int, stop: int, new: list[str]) -> str:
    return " ".join([*WORDS[:start], *new, *WORDS[stop:]])


@pytest.mark.parametrize("place", [0, 5, 1500, 2990])
def test_both_excerpts_begin_before_the_difference(place: int) -> None:
    one, other = excerpts(" ".join(WORDS), edited(place, place + 2, ["other"]))
    before = WORDS[max(0, place - WORDS_BEFORE) : place]
    assert one.split()[: len(before) + 2] == [*before, *WORDS[place : place + 2]]
    assert other.split()[: len(before) + 1] == [*before, "other"]
    assert GAP not in one


def test_the_first_and_the_longest_difference_are_shown() -> None:
    words = [*WORDS[:100], "first", *WORDS[101:2000], *WORDS[2050:]]
    one, other = excerpts(" ".join(WORDS), " ".join(words))
    assert [part.split()[WORDS_BEFORE] for part in one.split(GAP)] == ["w100", "w2000"]
    assert [part.split()[WORDS_BEFORE] for part in other.split(GAP)] == ["first", "w2050"]


def test_case_and_white_space_are_no_difference() -> None:
    text = " ".join(WORDS)
    one, other = excerpts(text, text.upper().replace(" ", "\n\n"))
    assert one.split()[:3] == ["w0", "w1", "w2"]
    assert other.split()[:3] == ["W0", "W1", "W2"]


def test_a_text_cut_short_is_shown_where_it_ends() -> None:
    one, other = excerpts(" ".join(WORDS[:2000]), " ".join(WORDS))
    assert one.split() == WORDS[2000 - WORDS_BEFORE : 2000]
    assert other.split()[: WORDS_BEFORE + 1] == WORDS[2000 - WORDS_BEFORE : 2001]


def test_a_phrase_that_comes_again_is_no_place_to_go_on() -> None:
    """Behind a changed word the nearest common words count, not the first of one text anywhere in the other."""
    phrase = "as it was said before and"
    text = f"one two three four five six {phrase} seven {phrase} {' '.join(WORDS)} {phrase} the end of it all"
    one, other = excerpts(text, text.replace("seven", "other", 1).replace("before", "after", 1))
    assert one.split()[:12] == other.replace("after", "before").split()[:12]
    assert "the end" not in other


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_texts_give_parts_of_them(a: str, b: str) -> None:
    one, other = excerpts(a, b)
    assert all(part in text for text, shown in ((a, one), (b, other)) for part in shown.split(GAP))


def test_a_line_may_be_a_word() -> None:
    one, other = excerpts("字" * 5000 + " a " + "字" * 5000, "字" * 5000 + " b " + "字" * 5000)
    assert len(one) == len(other) == CHARS_BEFORE + CHARS_BEHIND
    assert (one[CHARS_BEFORE], other[CHARS_BEFORE]) == ("a", "b")


def test_texts_with_nothing_in_common_take_no_longer() -> None:
    rng = random.Random(0)
    one, other = (" ".join(rng.choices(WORDS, k=60_000)) for _ in range(2))
    started = time.process_time()
    excerpts(one, other)
    assert time.process_time() - started < 5
