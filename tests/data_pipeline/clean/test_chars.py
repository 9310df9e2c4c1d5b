from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.clean.chars import (
    LETTER,
    SENTENCE_TERMINALS,
    SPACE,
    byte_kinds,
    char_classes,
    char_set,
    fold,
    folded_codes,
    stripped,
)

EVERY = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]


def bytes_of(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8)


def test_characters_are_folded_one_by_one() -> None:
    assert fold("ÄİΣAΣ") == "äİσaσ"
    codes = folded_codes()
    assert codes.shape == (0x110000,) and all(chr(codes[ord(char)]) == fold(char) for char in EVERY[::7])
    assert (codes[0xD800:0xE000] == np.arange(0xD800, 0xE000)).all()


def test_white_space_is_told_by_first_bytes_alone() -> None:
    kinds = byte_kinds()
    first = {char.encode()[0] for char in EVERY if char.isspace()}
    assert set(np.flatnonzero((kinds == 1) | (kinds == 2)).tolist()) == first
    assert all(kinds[byte] == 1 for byte in first if byte < 0x80)


@given(st.text() | st.text(alphabet=" \n\u3000\x85éa"))
def test_texts_are_stripped_as_python_does(text: str) -> None:
    data = bytes_of(f"é {text}")
    first, last = stripped(data, 3, len(data), char_classes())
    assert bytes(data[first:last]).decode() == text.strip()


def test_a_set_of_characters_holds_these_alone() -> None:
    assert np.flatnonzero(char_set(("a", "…"))).tolist() == [0x61, 0x2026]


def test_sentences_end_in_many_scripts() -> None:
    assert set(".!?。؟।።") <= set(SENTENCE_TERMINALS)
    assert not set(",;:…\"'” ") & set(SENTENCE_TERMINALS)


def test_every_code_point_has_the_class_that_python_gives_it() -> None:
    chars = [chr(code) for code in range(0x110000)]
    assert [kind == SPACE for kind in char_classes().tolist()] == [char.isspace() for char in chars]
    assert [kind == LETTER for kind in char_classes().tolist()] == [char.isalpha() for char in chars]
