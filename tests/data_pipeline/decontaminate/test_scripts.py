"""White space, wrapping, case and punctuation can't change a verdict, whatever the script."""

from __future__ import annotations

import functools
import random
import unicodedata
from collections import defaultdict
from collections.abc import Callable
from typing import Literal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.decontaminate.index import NGramIndex, words_of
from data_pipeline.decontaminate.ngram import NGram
from data_pipeline.decontaminate.testsets import TestItem
from data_pipeline.decontaminate.verdicts import removed_rows
from data_pipeline.decontaminate.words import APOSTROPHES, normal

CASES: list[Callable[[str], str]] = [str.upper, str.lower, str.title, str.swapcase, str]
SPACES = [" ", "\n", "\r\n\t", "\u00a0", "\u3000", "\u2028", "\n\n  "]
SIGNS = ["", ".", ",", "\u2014", "\u00ab", "\u3002", "\u060c", "\u0964", "**", "\u00bf", "\U0001f600", "\u200b"]
# whose lines may break at any letter, by Unicode Standard Annex 14
SPACELESS = {
    "THAI",
    "LAO",
    "MYANMAR",
    "KHMER",
    "TAI LE",
    "NEW TAI",
    "TAI THAM",
    "TAI VIET",
    "BALINESE",
    "JAVANESE",
    "CHAM",
}
SPACELESS |= {
    "HIRAGANA",
    "KATAKANA",
    "HENTAIGANA",
    "BOPOMOFO",
    "CJK",
    "YI",
    "HANGUL",
    "AHOM",
    "TANGUT",
    "NUSHU",
    "KHITAN",
}


def letters_by_script() -> dict[str, list[str]]:
    """Script, by the beginning of its letters' names -> its letters."""
    found: dict[str, list[str]] = defaultdict(list)
    for code in range(0x20, 0x32000):
        if unicodedata.category(chr(code))[0] == "L":
            name = unicodedata.name(chr(code), f"BLOCK {code >> 12:X}").split()  # Tangut has no names in Python
            found[" ".join(name[: 2 if name[0] in ("OLD", "TAI", "NEW", "BLOCK") else 1])].append(chr(code))
    return {script: letters for script, letters in found.items() if len(letters) >= 15}


def keeps_its_case(char: str) -> bool:
    """Not so: i without a dot, whose capital is I, and the like: which letter it was is lost with the case."""
    return all(normal(case(char)) == normal(char) for case in CASES)


@functools.cache
def items() -> dict[str, TestItem]:
    """Of each script 24 words of letters that keep their case."""
    made = {}
    for script, letters in letters_by_script().items():
        chance = random.Random(script)
        fit = [char for char in letters if keeps_its_case(char) and not joins(char)]
        words = ("".join(chance.choices(fit, k=chance.randint(2, 6))) for _ in range(24))
        made[script] = TestItem(script, "0", " ".join(words))
    return made


def test_there_are_the_scripts_of_the_world_and_few_letters_lose_themselves_with_their_case() -> None:
    assert len(items()) > 120
    assert set(items()) >= SPACELESS
    lost = [char for letters in letters_by_script().values() for char in letters if not keeps_its_case(char)]
    assert "\u0131" in lost and len(lost) < 20


def joins(char: str) -> bool:
    """A vowel sign, a voicing mark or a part of Hangul that is a letter to Unicode: no line begins with it."""
    first = normal(char)[0]
    return unicodedata.category(first)[0] == "M" or "\u1160" <= first <= "\u11ff"


def changed(item: TestItem, chance: random.Random) -> str:
    """Another case, other space and signs for each word; lines are broken where the script allows it."""
    parts = []
    for word in item.text.split():
        recased = chance.choice(CASES)(word)
        breaks = ["", "", "\n", "\n\t", "\u200b"] if item.set in SPACELESS else [""]
        parts += [chance.choice(breaks) + char for char in recased]
        parts += [chance.choice(SIGNS), chance.choice(SPACES), chance.choice(SIGNS)]
    return "".join(parts)


@functools.cache
def index_of_all() -> NGramIndex:
    return NGram().build(words_of(pa.array([item.text for item in items().values()], pa.large_string())))


@settings(max_examples=20)
@given(st.sampled_from(["NFC", "NFD"]), st.integers(0, 2**32))
def test_the_verdict_stays(form: Literal["NFC", "NFD"], seed: int) -> None:
    """One document for each script, all at once: each holds the item of its script and no other."""
    chance = random.Random(seed)
    decontaminator = NGram()
    index = index_of_all()
    texts = [unicodedata.normalize(form, f"x {changed(item, chance)} y") for item in items().values()]
    found = decontaminator.find(index, pa.array(texts, pa.large_string()))
    held = decontaminator.judge(index, index.counting(np.ones(index.num_ngrams, bool)), found)
    rows = removed_rows(held)
    assert held.documents[rows].tolist() == list(range(len(texts)))
    assert held.items[rows].tolist() == list(range(len(texts)))


@pytest.mark.parametrize("sign", [*sorted(APOSTROPHES), "\u0374", "\u1fef", "\u1ffd", "\uff07", "\uff40"], ids=ascii)
def test_any_sign_may_be_the_apostrophe(sign: str) -> None:
    text = "We don't think it's theirs; they'd say that's o'clock, wouldn't they?"
    index = NGram().build(words_of(pa.array([text], pa.large_string())))
    for form in ("NFC", "NFD"):
        for recased in (text, text.upper()):
            copy = "x " + unicodedata.normalize(form, recased.replace("'", sign)) + " y"
            hits = index.find(pa.array([copy], pa.large_string()))
            assert (hits.starts.tolist(), hits.ends.tolist()) == ([2], [len(copy[:-3].encode())]), ascii(copy)
