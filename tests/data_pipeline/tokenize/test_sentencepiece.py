"""A SentencePiece model as tokenizer.json: the library's ids, and every byte of every text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor
from tokenizers import Tokenizer

from data_pipeline.shards.token_bytes import token_bytes_of
from data_pipeline.tokenize import engines
from data_pipeline.tokenize.checks import load
from data_pipeline.tokenize.encoder import Encoder
from data_pipeline.tokenize.engines import TokenizersEngine
from data_pipeline.tokenize.errors import TokenizerError
from data_pipeline.tokenize.probe import probe_texts
from data_pipeline.tokenize.sentencepiece import SentencePiece, tokenizer_record
from data_pipeline.tokenize.sentencepiece_model import Kind, Piece, read_model

Train = Callable[..., Path]
MARK = "\u2581"
SYMBOLS = ["<sep>", "<s>x", "None"]
SETTINGS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "no prefix": {"add_dummy_prefix": False},
    "digits": {"split_digits": True, "allow_whitespace_only_pieces": True},
    "symbols": {"user_defined_symbols": SYMBOLS, "control_symbols": ["<ctl>", "<pad>"]},
    "across words": {"split_by_whitespace": False},
    "other ids": {"pad_id": 0, "unk_id": 1, "bos_id": -1, "eos_id": 2},
}
NAMES = ["<0x41>", "<0x0A>", "<s>", "</s>", "<unk>", "<ctl>", "<pad>", *SYMBOLS]
# what models differ on: runs, spaces at both ends, names of pieces, characters without a piece
ODD = st.lists(
    st.sampled_from([*NAMES, " ", "  ", "-", "--", "=", "a", "the", " in", "\n", "1", "é", "☃"]), max_size=30
)
PLAIN = st.text(st.characters(exclude_categories=("Cs",), exclude_characters=MARK), max_size=40) | ODD.map("".join)


def of(path: Path) -> tuple[Tokenizer, SentencePieceProcessor]:
    tokenizer_json = SentencePiece(str(path)).train(iter(()))
    return load(tokenizer_json, ""), SentencePieceProcessor(model_file=str(path))


def ids_of(tokenizer: Tokenizer, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False).ids)


@pytest.fixture(scope="module", params=SETTINGS)
def bpe(request: pytest.FixtureRequest, spm: Train) -> tuple[Tokenizer, SentencePieceProcessor]:
    return of(spm(model_type="bpe", **SETTINGS[request.param]))


@pytest.fixture(scope="module", params=["as it is", "digits", "symbols", "across words"])
def unigram(request: pytest.FixtureRequest, spm: Train) -> tuple[Tokenizer, SentencePieceProcessor]:
    return of(spm(model_type="unigram", **SETTINGS[request.param]))


def test_bpe_gives_the_ids_of_sentencepiece_on_real_text_and_the_probe(bpe: Any, real_text: str) -> None:
    tokenizer, oracle = bpe
    texts = [real_text[start : start + 3000] for start in range(0, len(real_text), 3000)]
    for text in [*texts, *(text for text in probe_texts(NAMES) if MARK not in text)]:
        assert ids_of(tokenizer, text) == oracle.encode(text), text


@settings(max_examples=200)
@given(text=PLAIN)
def test_bpe_gives_the_ids_of_sentencepiece_on_any_text_without_its_mark(bpe: Any, text: str) -> None:
    tokenizer, oracle = bpe
    assert ids_of(tokenizer, text) == oracle.encode(text)


def test_unigram_gives_the_ids_of_sentencepiece_or_others_that_score_alike(unigram: Any, real_text: str) -> None:
    """SentencePiece sums in 32 bits: of two orders of the same pieces it takes one or the other."""
    tokenizer, oracle = unigram
    texts = [real_text[start : start + 300] for start in range(0, len(real_text), 300)]
    texts += [text for text in probe_texts(NAMES) if MARK not in text]
    others = 0
    for text in texts:
        ids, expected = ids_of(tokenizer, text), oracle.encode(text)
        others += ids != expected
        scores = [sum(map(oracle.get_score, each)) for each in (ids, expected)]
        assert scores[0] == pytest.approx(scores[1], abs=1e-3), text
    assert others <= len(texts) // 100


@settings(max_examples=50)
@given(text=st.text() | ODD.map("".join))
def test_any_text_comes_back_and_none_gives_a_special_token(bpe: Any, unigram: Any, text: str) -> None:
    for tokenizer, _ in (bpe, unigram):
        ids = ids_of(tokenizer, text)
        assert tokenizer.decode(ids, skip_special_tokens=False) == text
        assert not set(ids) & {index for index, token in tokenizer.get_added_tokens_decoder().items() if token.special}


def test_the_mark_is_its_three_bytes_and_the_rest_of_the_text_as_without_it(spm: Train) -> None:
    tokenizer, oracle = of(spm(model_type="bpe"))
    ids = ids_of(tokenizer, f"of the {MARK} in")
    marks = [oracle.piece_to_id(f"<0x{byte:02X}>") for byte in MARK.encode()]
    assert ids == [*oracle.encode("of the "), *marks, oracle.piece_to_id(f"{MARK}in")]
    assert tokenizer.decode(ids) == f"of the {MARK} in"
    assert oracle.decode(oracle.encode(MARK)) != MARK  # what it is done for


@pytest.mark.parametrize("model_type", ["bpe", "unigram"])
def test_the_bytes_behind_the_ids_are_the_texts(spm: Train, model_type: str, real_text: str) -> None:
    tokenizer_json = SentencePiece(str(spm(model_type=model_type))).train(iter(()))
    behind, tokenizer = token_bytes_of(tokenizer_json), load(tokenizer_json, "")
    assert behind.prefix == b" "
    for text in (real_text[:5000], "", " a", f"{MARK}☃ <0x41>"):
        assert behind.text_of(ids_of(tokenizer, text)) == text.encode()


@pytest.mark.parametrize("model_type", ["bpe", "unigram"])
@pytest.mark.parametrize("change", ["as it is", "no prefix", "symbols", "across words"])
def test_the_encoder_gives_the_same_ids_with_any_engine_and_long_texts_in_pieces(
    spm: Train, model_type: str, change: str, real_text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer_json = SentencePiece(str(spm(model_type=model_type, **SETTINGS[change]))).train(iter(()))
    texts = pa.array([real_text[:60_000], "", MARK, f" a{MARK} b", "<s>x None", " "], pa.large_string())
    tokenizer = load(tokenizer_json, "")
    expected = [index for text in texts.to_pylist() for index in [*ids_of(tokenizer, text), -1]]
    encoder = Encoder(tokenizer_json, "</s>")
    found = encoder.encode(texts)[0].astype(np.int64)
    assert np.where(found == encoder.eot_id, -1, found).tolist() == expected
    monkeypatch.setattr(engines, "PIECE_CHARS", 500)
    ids, offsets = TokenizersEngine(tokenizer, orjson.loads(tokenizer_json)).encode(texts)
    assert ids.tolist() == [index for index in expected if index >= 0]
    assert len(offsets) == len(texts) + 1


def test_bpe_is_encoded_by_gigatoken(spm: Train) -> None:
    pytest.importorskip("gigatoken", reason="the extra `fast` is not installed")
    for change, expected in {"as it is": "gigatoken", "no prefix": "gigatoken", "symbols": "tokenizers"}.items():
        tokenizer_json = SentencePiece(str(spm(model_type="bpe", **SETTINGS[change]))).train(iter(()))
        assert Encoder(tokenizer_json, "</s>").engine == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"byte_fallback": False}, "no token for 256 of the 256 bytes.*--byte_fallback=true"),
        ({"normalization_rule_name": "nmt_nfkc"}, "'nmt_nfkc' changes characters.*--normalization_rule_name=identity"),
        ({"remove_extra_whitespaces": True}, "drops spaces.*--remove_extra_whitespaces=false"),
        ({"treat_whitespace_as_suffix": True}, "space goes behind words.*train it without"),
        ({"model_type": "char", "vocab_size": 400, "hard_vocab_limit": False}, "a char model"),
        ({"control_symbols": ["@"]}, "control piece '@' is a single character"),
        ({"model_type": "unigram", "user_defined_symbols": ["abc", "cab"]}, "'abc' and 'cab' .* lie across each other"),
    ],
)
def test_a_model_that_loses_bytes_is_refused_with_what_to_do(spm: Train, change: dict[str, Any], message: str) -> None:
    path = spm(**{"model_type": "bpe", **change})
    with pytest.raises(TokenizerError, match=message) as caught:
        SentencePiece(str(path)).inputs()
    assert str(caught.value).startswith(f"tokenizer.path: {path}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"escape_whitespaces": False}, "hold plain spaces"),
        ({"pieces": [Piece("\u2581a", -1.0, Kind.NORMAL)]}, "the piece '\u2581a' is there twice"),
        ({"pieces": [Piece("☃", -1e9, Kind.UNUSED)]}, "1 pieces are marked unused"),
        ({"pieces": [Piece("<unk2>", 0.0, Kind.UNKNOWN)]}, "2 unknown pieces"),
        ({"pieces": [Piece("a b", -1e9, Kind.NORMAL)]}, "'a b' holds a plain space"),
        ({"pieces": [Piece("o☃", -1e9, Kind.NORMAL)]}, r"1 characters are in pieces but are none themselves \(☃\)"),
        ({"pieces": [Piece("qxq", -3.0, Kind.NORMAL)]}, "have one score"),
        (
            {"pieces": [Piece("<sep>", 0.0, Kind.USER_DEFINED), Piece("qxq", -1e9, Kind.NORMAL)]},
            "has symbols of its user .* 1 pieces that its own merges don't make",
        ),
    ],
)
def test_a_model_that_was_changed_is_refused(spm: Train, change: dict[str, Any], message: str) -> None:
    model = read_model(spm(model_type="bpe").read_bytes(), "")
    odd = replace(model, **{**change, "pieces": [*model.pieces, *change.get("pieces", [])]})
    with pytest.raises(TokenizerError, match=f"^the model: .*{message}"):
        tokenizer_record(odd, "the model")


def test_an_end_of_text_that_it_lacks_is_refused_with_those_that_it_has(spm: Train) -> None:
    with pytest.raises(TokenizerError, match=r"'<\|endoftext\|>' is no special token .*it has: </s>, <s>, <unk>"):
        SentencePiece(str(spm(model_type="bpe")), eot_token="<|endoftext|>").inputs()
