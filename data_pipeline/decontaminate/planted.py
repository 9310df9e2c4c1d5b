"""Copies of test items in made-up documents: whether this configuration finds them is measured in every run."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from itertools import cycle, islice

import pyarrow as pa

from data_pipeline.decontaminate.testsets import TestItem
from data_pipeline.decontaminate.words import APOSTROPHES, normal

MOST_ITEMS = 100  # of the test sets, and as many held-out documents
MOST_CHARS = 20_000  # of an item that is planted: what the measurement costs is bounded
_FILLER = ("vastor", "klimen", "durash", "pelto", "grimvane", "sudari", "oxtel", "brunakh")  # words of no language


def _rewrapped(text: str) -> str:
    """Four words a line, indented, blank lines among them."""
    words = text.split()
    return "\n\n   ".join(" ".join(words[i : i + 4]) for i in range(0, len(words), 4))


def _repunctuated(text: str) -> str:
    """Other punctuation in place of its own, and some behind every third word."""
    marks = {char for char in set(text) if unicodedata.category(char)[0] == "P" and set(normal(char)) - APOSTROPHES}
    plain = "".join(";" if char in marks else char for char in text)
    return " ".join(word if number % 3 else f"*{word}* \u2014" for number, word in enumerate(plain.split()))


def _truncated(text: str) -> str:
    """The first three quarters."""
    return text[: len(text) * 3 // 4]


COPIES: dict[str, Callable[[str], str]] = {
    "verbatim": lambda text: text,
    "rewrapped": _rewrapped,
    "recased": str.upper,
    "repunctuated": _repunctuated,
    "truncated": _truncated,
}


def planted_documents(items: list[TestItem], kind: str) -> pa.LargeStringArray:
    """Return a document for each item, with a copy of this kind between words that mean nothing."""
    copies = (COPIES[kind](item.text) for item in items)
    texts = [f"{_filler(5, at)}\n\n{copy}\n\n{_filler(7, at)}" for at, copy in enumerate(copies)]
    return pa.array(texts, pa.large_string())


def _filler(num_words: int, first: int) -> str:
    return " ".join(islice(cycle(_FILLER), first, first + num_words))
