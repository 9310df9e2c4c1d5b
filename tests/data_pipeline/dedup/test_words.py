"""The kernel against `text.lower().split()`."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.dedup.words import BLOCK_BYTES, join_words, joined_words

EVERY = [chr(point) for point in range(0x110000) if not 0xD800 <= point < 0xE000]
TEXTS = st.text() | st.text(st.sampled_from("aZ é中𝔘İΣς\u0307 \t\n\x1c\x85\u2003\u200b\0"), max_size=12)


def kernel(texts: list[str], block_bytes: int = BLOCK_BYTES) -> list[bytes]:
    return [words.tobytes() for words in join_words(pa.array(texts, pa.large_string()), block_bytes)]


@given(st.text())
def test_the_reference_is_the_definition(text: str) -> None:
    assert joined_words(text).decode() == " ".join(text.lower().split())


@given(st.lists(TEXTS, max_size=20), st.integers(1, 40))
def test_the_kernel_is_the_reference_whatever_is_held_at_a_time(texts: list[str], block_bytes: int) -> None:
    assert kernel(texts, block_bytes) == [joined_words(text) for text in texts]


@pytest.mark.parametrize("around", [("", ""), ("A", "b"), (" ", "Z ")])
def test_every_code_point(around: tuple[str, str]) -> None:
    """Alone and between others: at the beginning, in the middle and at the end of a word."""
    texts = [f"{around[0]}{point}{around[1]}" for point in EVERY]
    assert kernel(texts) == [joined_words(text) for text in texts]


def test_long_runs_of_every_script() -> None:
    texts = ["".join(EVERY[i : i + 1000]) for i in range(0, len(EVERY), 1000)]
    assert kernel(texts) == [joined_words(text) for text in texts]


def test_lower_case_may_be_longer_than_the_text() -> None:
    text = "\u023a" * 1000  # 2 bytes each, 3 in lower case
    assert kernel([text, text, text]) == [joined_words(text)] * 3
    assert len(joined_words(text)) == 3000


def test_an_array_that_is_a_slice_of_another() -> None:
    texts = pa.array(["One", "Two  words", "ΑΣ", "three"], pa.large_string())
    assert [words.tobytes() for words in join_words(texts[1:3])] == [b"two words", "ας".encode()]
