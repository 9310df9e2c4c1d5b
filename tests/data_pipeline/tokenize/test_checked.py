"""A fast engine is believed only where it agrees with the reference."""

from __future__ import annotations

import numpy as np
import orjson
import pyarrow as pa
import pytest

from data_pipeline.tokenize import checked
from data_pipeline.tokenize.bpe import ByteLevelBPE
from data_pipeline.tokenize.checked import CheckedEngine, first_difference, sample_of
from data_pipeline.tokenize.checks import load
from data_pipeline.tokenize.encoder import Encoder
from data_pipeline.tokenize.engines import TokenizersEngine


def engine(tokenizer_json: bytes) -> TokenizersEngine:
    return TokenizersEngine(load(tokenizer_json, ""), orjson.loads(tokenizer_json))


@pytest.fixture
def sides(trained: bytes, corpus: list[str]) -> tuple[TokenizersEngine, TokenizersEngine]:
    """Two engines that agree on single bytes: the other has fewer merges."""
    return engine(ByteLevelBPE(vocab_size=300).train(iter(corpus))), engine(trained)


def strings(*texts: str) -> pa.LargeStringArray:
    return pa.array(texts, pa.large_string())


def test_a_batch_whose_beginning_differs_goes_to_the_reference_and_that_is_said(
    sides: tuple[TokenizersEngine, TokenizersEngine], corpus: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    fast, reference = sides
    both, texts = CheckedEngine(fast, reference), strings("\x01\x02", *corpus)
    assert both.encode(texts)[0].tolist() == reference.encode(texts)[0].tolist()
    said = capsys.readouterr().err
    assert f"gives other ids for the text that begins {corpus[0][:20]!r}"[:-1] in said
    assert f"encodes its batch of {len(texts)}" in said


def test_a_batch_whose_beginning_agrees_goes_to_the_fast_one(
    sides: tuple[TokenizersEngine, TokenizersEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    fast, reference = sides
    monkeypatch.setattr(checked, "SAMPLE_CHARS", 8)
    monkeypatch.setattr(checked, "SPREAD_CHARS", 0)
    texts = strings("\x01\x02", "\x03" * 9, "the of and to in")
    ids, offsets = CheckedEngine(fast, reference).encode(texts)
    assert ids.tolist() == fast.encode(texts)[0].tolist() != reference.encode(texts)[0].tolist()
    assert offsets[-1] == len(ids)


def test_the_sample_is_of_the_first_texts_and_of_some_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checked, "SAMPLE_CHARS", 5)
    monkeypatch.setattr(checked, "SPREAD_TEXTS", 3)
    monkeypatch.setattr(checked, "SPREAD_CHARS", 2)
    assert sample_of(strings("ab", "é" * 9, *"cdefg", "éèà")).to_pylist() == ["ab", "é" * 5, "c", "e", "éè"]
    assert sample_of(strings("ab", "é" * 9, "c")).to_pylist() == ["ab", "é" * 5, "c"]
    assert sample_of(strings("a" * 100)).to_pylist() == ["aaaaa"]
    assert sample_of(strings()).to_pylist() == []
    assert sample_of(strings("x", "", "ab", "cd", "ef").slice(1)).to_pylist() == ["", "ab", "cd", "ef"]


def test_a_difference_far_from_the_beginning_is_seen(sides: tuple[TokenizersEngine, TokenizersEngine]) -> None:
    fast, reference = sides
    both, texts = CheckedEngine(fast, reference), strings(*["\x01" * 300] * 400, "the of and to in")
    assert both.encode(texts)[0].tolist() == reference.encode(texts)[0].tolist() and "'the of" in both.differed
    both.encode(strings("\x01"))
    assert both.differed == ""


def test_what_encoded_a_batch_is_told_of_that_batch(
    trained: bytes, sides: tuple[TokenizersEngine, TokenizersEngine]
) -> None:
    encoder = Encoder(trained)
    encoder._engine = CheckedEngine(*sides)  # gigatoken has not been seen to differ
    encoder.encode(strings("the of and to in"))
    assert encoder.describe() == f"encoded by tokenizers where {encoder.engine} gives other ids"
    encoder.encode(strings("\x01"))
    assert "where" not in encoder.describe()


def test_the_first_difference_is_found(sides: tuple[TokenizersEngine, TokenizersEngine], corpus: list[str]) -> None:
    fast, reference = sides
    assert first_difference(fast, reference, strings("\x01", "", *corpus)) == 2
    assert first_difference(fast, reference, strings("\x01", "")) is None
    assert first_difference(reference, reference, strings(*corpus)) is None
    assert np.array_equal(fast.encode(strings())[1], [0])
