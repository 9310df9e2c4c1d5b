"""Long texts are cut where the split cuts them anyway; gigatoken's memory is bounded; both engines agree."""

from __future__ import annotations

import random

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from data_pipeline.tokenize import engines
from data_pipeline.tokenize.bpe import ByteLevelBPE
from data_pipeline.tokenize.checks import load
from data_pipeline.tokenize.cuts import cut_text
from data_pipeline.tokenize.engines import GigatokenEngine, TokenizersEngine

WORDY = st.text(st.sampled_from("ab1é東_'s.!\n\t \u00a0\u2003\x1c\u0301👍"), max_size=60)


@pytest.fixture(scope="module")
def spacious() -> Tokenizer:
    """A tokenizer with tokens for runs of spaces, line ends and signs."""
    text = "a" + " " * 8 + "a" + "\n" * 8 + "a" + " \n" * 4 + "a" + "." * 8 + "1" * 8
    return load(ByteLevelBPE(vocab_size=270).train(iter([text] * 9)), "")


@settings(max_examples=300)
@given(text=WORDY, max_chars=st.integers(1, 20))
def test_pieces_have_the_ids_of_the_whole(trained: bytes, text: str, max_chars: int) -> None:
    tokenizer = load(trained, "")
    cut = list(cut_text(text, max_chars))
    assert "".join(cut) == text
    assert [index for piece in cut for index in tokenizer.encode(piece).ids] == tokenizer.encode(text).ids


@settings(max_examples=100)
@given(text=st.text(st.sampled_from("a1. \n"), max_size=30), max_chars=st.integers(1, 9))
def test_runs_of_spaces_and_signs_are_never_cut(spacious: Tokenizer, text: str, max_chars: int) -> None:
    cut = [index for piece in cut_text(text, max_chars) for index in spacious.encode(piece).ids]
    assert cut == spacious.encode(text).ids


def test_pieces_are_short_where_there_are_words() -> None:
    rng = random.Random(0)
    text = " ".join("".join(rng.choices("abc", k=rng.randrange(1, 9))) for _ in range(5000))
    assert max(map(len, cut_text(text, 100))) <= 100 + 9
    assert len(list(cut_text(text, 100))) > 100
    assert list(cut_text("a" * 1000, 10)) == ["a" * 1000]


def test_long_documents_are_cut_only_for_the_gpt2_split(trained: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "PIECE_CHARS", 50)
    tokenizer, record = load(trained, ""), orjson.loads(trained)
    text = "the of and to 1234, <|endoftext|> 'they're'\n\n  it\t was " * 40
    ids, offsets = TokenizersEngine(tokenizer, record).encode(pa.array([text, "", text], pa.large_string()))
    whole = tokenizer.encode(text).ids
    assert ids.tolist() == whole * 2
    assert offsets.tolist() == [0, len(whole), len(whole), 2 * len(whole)]


def test_gigatoken_is_loaded_anew_after_so_much_text(
    trained: bytes, corpus: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gigatoken", reason="the extra `fast` is not installed")
    monkeypatch.setattr(engines, "RELOAD_BYTES", 100)
    record, texts = orjson.loads(trained), pa.array(corpus, pa.large_string())
    engine = GigatokenEngine(record, TokenizersEngine(load(trained, ""), record))
    first, expected = engine._tokenizer, Tokenizer.from_str(trained.decode()).encode_batch(corpus)
    for _ in range(3):
        ids, _ = engine.encode(texts)
        assert ids.tolist() == [index for encoding in expected for index in encoding.ids]
    assert engine._tokenizer is not first


def test_engines_agree_on_strings_from_all_of_unicode(trained: bytes) -> None:
    pytest.importorskip("gigatoken", reason="the extra `fast` is not installed")
    record, rng = orjson.loads(trained), random.Random(11)
    points = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    texts = ["".join(map(chr, rng.choices(points, k=rng.randrange(30)))) for _ in range(3000)]
    texts += ["".join(rng.choices("aZ9 '\n\t.éß東\u0301\u00a0\u2009", k=rng.randrange(30))) for _ in range(5000)]
    array = pa.array(texts, pa.large_string())
    reference = TokenizersEngine(load(trained, ""), record)
    (fast, bounds), (slow, offsets) = (
        engine.encode(array) for engine in (GigatokenEngine(record, reference), reference)
    )
    assert np.array_equal(bounds, offsets)
    assert np.array_equal(fast, slow)
