from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.tokenize.encoder import Encoder
from data_pipeline.tokenize.probe import probe_texts
from data_pipeline.tokens.counting import TOKENS, count, count_one, profile, profile_one
from data_pipeline.tokens.kinds import (
    BLANK,
    BLANKS,
    DIGIT,
    EMOJI,
    INDENT,
    LATIN,
    LINE_END,
    MARK,
    NAMES,
    OTHER,
    UPPER,
    kinds_one,
)
from data_pipeline.tokens.table import TokenTable

CHARS = " \t\n\r\u00a0\u3000aBÀZß1٣½._({=😀🇩❤\ufe0f\u200d\u0301\u093fकЖж的한\x00\x1c\x85\u2028"
TEXTS = st.lists(st.one_of(st.text(st.sampled_from(CHARS), max_size=40), st.text(max_size=20)), min_size=1, max_size=6)


def array_of(texts: list[str]) -> pa.LargeStringArray:
    """As a slice of a longer one, so that offsets don't begin at 0."""
    return pa.array(["before", *texts, "after"], pa.large_string()).slice(1, len(texts))


def assert_profiled(texts: list[str]) -> None:
    found = profile(array_of(texts))
    expected = [profile_one(text) for text in texts]
    assert found.words.tolist() == [words for words, _, _ in expected]
    assert found.is_code.tolist() == [is_code for _, is_code, _ in expected]
    assert found.sizes.tolist() == [len(text.encode()) for text in texts]
    np.testing.assert_array_equal(found.kinds, np.sum([kinds for _, _, kinds in expected], axis=0))
    by_byte = [kind for text in texts for char, kind in zip(text, kinds_one(text), strict=True) for _ in char.encode()]
    assert found.byte_kinds.tolist() == by_byte


def assert_counted(texts: list[str], encoder: Encoder, table: TokenTable, they_come_back: bool) -> None:
    array = array_of(texts)
    found = count(array, profile(array), encoder, table)
    ids, lengths = encoder.encode(array)
    parts = [part[:-1].tolist() for part in np.split(ids, np.cumsum(lengths)[:-1])]
    expected = [count_one(text, part, table) for text, part in zip(texts, parts, strict=True)]
    assert found.tokens.tolist() == [len(part) for part in parts]
    assert found.singles.tolist() == [singles for singles, _, _ in expected]
    assert found.came_back.tolist() == [back for _, back, _ in expected]
    assert found.came_back.all() or not they_come_back
    np.testing.assert_array_equal(found.kinds, np.sum([kinds for _, _, kinds in expected], axis=0))
    assert (
        found.ids.tolist()
        == np.bincount(np.concatenate([np.array(p, int) for p in parts]), minlength=len(table)).tolist()
    )


@given(TEXTS)
def test_the_kernel_profiles_as_the_reference_does(texts: list[str]) -> None:
    assert_profiled(texts)


@pytest.fixture(scope="session")
def bytes_encoder(byte_level: bytes) -> tuple[Encoder, TokenTable]:
    return Encoder(byte_level), TokenTable.of(byte_level)


@given(TEXTS)
def test_the_kernel_counts_as_the_reference_does(bytes_encoder: tuple[Encoder, TokenTable], texts: list[str]) -> None:
    assert_counted(texts, *bytes_encoder, they_come_back=True)


def test_all_forms_of_writing_come_back(bytes_encoder: tuple[Encoder, TokenTable]) -> None:
    texts = probe_texts(["<|endoftext|>"])
    assert_profiled(texts)
    assert_counted(texts, *bytes_encoder, they_come_back=True)


@given(TEXTS, st.integers(0, 2**32))
def test_a_text_that_other_bytes_come_back_of_is_found(
    bytes_encoder: tuple[Encoder, TokenTable], texts: list[str], lot: int
) -> None:
    encoder, table = bytes_encoder
    data = table.data.copy()
    data[lot % len(data)] ^= 1  # a token stands for another byte
    assert_counted(texts, encoder, replace(table, data=data), they_come_back=False)
    shorter = replace(table, offsets=np.minimum(table.offsets, lot % (len(data) + 1)))
    assert_counted(texts, encoder, shorter, they_come_back=False)


def test_a_token_that_says_another_byte_loses_the_texts_that_have_it(
    bytes_encoder: tuple[Encoder, TokenTable],
) -> None:
    encoder, table = bytes_encoder
    ids, _ = encoder.encode(pa.array(["~"], pa.large_string()))
    data = table.data.copy()
    data[table.offsets[ids[0]]] ^= 1
    array = pa.array(["a ~ b", "none"], pa.large_string())
    found = count(array, profile(array), encoder, replace(table, data=data))
    assert found.came_back.tolist() == [False, True]
    assert found.kinds[:, TOKENS].sum() == found.tokens[1]  # of a text that is another one no kinds are told


@given(TEXTS)
def test_a_blank_that_is_put_before_a_text_is_no_loss(sentence_piece: bytes, texts: list[str]) -> None:
    encoder, table = Encoder(sentence_piece, "</s>"), TokenTable.of(sentence_piece)
    assert table.has_prefix
    texts = [text.replace("▁", "_") for text in texts]
    assert_counted(texts, encoder, table, they_come_back=True)


def test_kinds_are_what_they_are_called() -> None:
    kinds = kinds_one("  if x == 12:\n\tRUN  Ärger I 🙂\u200d 中\x00")
    assert kinds == [
        *([INDENT] * 2 + [LATIN] * 2 + [BLANK, LATIN, BLANK, MARK, MARK, BLANK, DIGIT, DIGIT, MARK, LINE_END]),
        *([INDENT] + [UPPER] * 3 + [BLANKS] * 2 + [LATIN] * 5 + [BLANK, LATIN, BLANK, EMOJI, EMOJI, BLANK]),
        *(NAMES.index("han"), OTHER),
    ]


def test_code_is_told_from_prose() -> None:
    prose = "It was a bright cold day in April, and the clocks were striking thirteen. " * 5
    code = "for (int i = 0; i < n; i++) { total_sum += values[i]; }\n" * 5
    assert profile(pa.array([prose, code, ""], pa.large_string())).is_code.tolist() == [False, True, False]
