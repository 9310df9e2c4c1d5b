"""Copies hold the words of what they are copies of."""

from __future__ import annotations

import pytest

from data_pipeline.decontaminate.planted import COPIES
from data_pipeline.decontaminate.words import APOSTROPHES, words


@pytest.mark.parametrize("kind", ["verbatim", "rewrapped", "recased", "repunctuated"])
@pytest.mark.parametrize("sign", [*sorted(APOSTROPHES), "\uff07"], ids=ascii)
def test_copies_have_the_words_of_the_item(kind: str, sign: str) -> None:
    text = f"«Don{sign}t» they{sign}d say: (3.14) is one of six, isn{sign}t it?"
    assert words(COPIES[kind](text)) == words(text)
