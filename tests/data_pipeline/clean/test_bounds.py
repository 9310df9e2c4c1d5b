from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.clean.bounds import (
    IS_WIDE,
    KEY_BYTES,
    byte_signs,
    count_chars,
    count_words,
    find_newlines,
    find_words,
    find_words_one,
    first_bytes,
    hash_span,
    is_blank,
    key_of_word,
    mark_gaps,
    rooms_for,
    same_bytes,
    sizes,
)
from data_pipeline.clean.chars import byte_kinds, char_classes
from tests.data_pipeline.clean.pieces import texts_of

TABLES = byte_kinds(), char_classes()


def bytes_of(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8)


@given(texts_of("a.b", "#", "-é"))
def test_words_are_found_as_python_finds_them(text: str) -> None:
    data, signs = bytes_of(text), byte_signs(b".#")
    gaps, bounds, found = rooms_for(len(data))
    num_words = find_words(data, *TABLES, signs, gaps, bounds, found)
    begins, ends, signs_found = (array[: 2 * num_words].tolist() for array in (bounds, bounds, found))
    words = zip(begins[::2], ends[1::2], signs_found[1::2], strict=True)
    expected = find_words_one(text.encode(), signs)
    assert [(begin, end, sign & ~IS_WIDE) for begin, end, sign in words] == [
        (begin, end, sign & ~IS_WIDE) for begin, end, sign in expected
    ]
    assert all(mine & IS_WIDE for mine, (_, _, sign) in zip(signs_found[1::2], expected, strict=True) if sign & IS_WIDE)
    assert count_words(data, *TABLES, gaps) == len(text.split())


def test_every_character_is_marked_as_python_has_it() -> None:
    chars = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    for part in (chars[:0x3100], chars[0x3100::101]):
        data = bytes_of("".join(part))
        gaps = np.full(len(data), 7, np.uint8)
        mark_gaps(data, *TABLES, gaps)
        assert gaps.tolist() == [int(char.isspace()) for char in part for _ in char.encode()]


@given(texts_of("\n", "é"))
def test_lines_and_characters_are_counted_as_python_does(text: str) -> None:
    data = bytes_of(text)
    places = np.zeros(len(data) + 1, np.int32)
    assert places[: find_newlines(data, places)].tolist() == [at for at, byte in enumerate(data) if byte == 0x0A]
    assert count_chars(data) == len(text)
    assert is_blank(data, 0, len(data), TABLES[1]) == (not text.split())


@given(st.binary(min_size=1, max_size=40), st.data())
def test_spans_are_compared_and_hashed_by_all_their_bytes(given_bytes: bytes, draw: st.DataObject) -> None:
    data = np.frombuffer(given_bytes, np.uint8)
    size = draw.draw(st.integers(0, len(data)))
    first, second = (draw.draw(st.integers(0, len(data) - size)) for _ in range(2))
    one, other = given_bytes[first : first + size], given_bytes[second : second + size]
    assert same_bytes(data, first, second, size) == (one == other)
    assert (hash_span(data, first, first + size) == hash_span(data, second, second + size)) == (one == other)


@given(st.binary(min_size=1, max_size=20), st.integers(0, 12))
def test_a_key_is_the_same_wherever_the_word_stands(word: bytes, after: int) -> None:
    data = np.frombuffer(b"x" + word + b"y" * after, np.uint8)
    short = word[:KEY_BYTES]
    expected = int.from_bytes(short, "little") << 8 * (KEY_BYTES - len(short))
    assert int(key_of_word(data, 1, 1 + len(word))) == expected
    assert int(first_bytes(len(word))).bit_count() == 8 * len(short)


@given(st.lists(texts_of("a b", "é"), max_size=4))
def test_texts_are_counted_as_python_does(many: list[str]) -> None:
    chars, words = sizes(pa.array(["語 b", *many], pa.large_string()).slice(1))
    assert chars.tolist() == [len(text) for text in many]
    assert words.tolist() == [len(text.split()) for text in many]
