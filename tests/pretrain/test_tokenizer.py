"""The trainer's tokenizer: what it says of text and bytes, held against tokenizers and against the text itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as HfTokenizer
from tokenizers import decoders, models, pre_tokenizers, trainers

from data_pipeline.shards.errors import ForeignTokenizer, ShardError
from data_pipeline.shards.manifest import Manifest
from data_pipeline.shards.token_bytes import byte_chars, byte_pieces
from data_pipeline.tokenize.sentencepiece import tokenizer_record
from data_pipeline.tokenize.sentencepiece_model import Kind, Piece, SentencePieceModel
from foundation.hashes import hash_bytes
from pretrain.tokenizer import Tokenizer, TokenizerError

TEXT = ["the cat sat on the mat, the dog sat on the log", "für Füße über", "日本語の日本"] * 4


def made(vocab_size: int) -> bytes:
    tokenizer = HfTokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    return str(tokenizer.to_str()).encode()


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer(made(290), vocab_size=290, eot_id=0)


@pytest.fixture(scope="module")
def oracle() -> HfTokenizer:
    return HfTokenizer.from_str(made(290).decode())


@given(text=st.text())
def test_any_text_round_trips_and_its_tokens_hold_its_bytes(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert int(tokenizer.token_bytes[ids].sum()) == len(text.encode())


@given(ids=st.lists(st.integers(0, 289), max_size=30))
def test_decodes_any_ids_as_tokenizers_does(tokenizer: Tokenizer, oracle: HfTokenizer, ids: list[int]) -> None:
    # tokenizers decodes an added token apart from its neighbours, so halves of characters differ around one
    ordinary = [index for index in ids if index != 0]
    assert tokenizer.decode(ordinary) == oracle.decode(ordinary, skip_special_tokens=False)
    assert tokenizer.decode(np.array(ordinary, np.uint16)) == tokenizer.decode(ordinary)


def test_special_text_is_text_and_special_ids_are_shown(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("a<|endoftext|>b")
    assert tokenizer.eot_id not in ids
    assert tokenizer.decode(ids) == "a<|endoftext|>b"
    assert tokenizer.decode([0]) == "<|endoftext|>"


def test_token_bytes_are_none_for_special_and_missing_ids() -> None:
    padded = Tokenizer(made(290), vocab_size=310, eot_id=0)
    assert padded.token_bytes.shape == (310,)
    assert padded.token_bytes.dtype == np.int32
    assert padded.token_bytes[0] == 0
    assert not padded.token_bytes[290:].any()
    assert padded.token_bytes[1:257].tolist() == [1] * 256


def test_ids_without_a_token_and_half_characters_show_as_replacement(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode([5000, 400]) == "\ufffd\ufffd"
    first_byte = byte_chars()["é".encode()[0]]
    half = next(index for index in range(1, 257) if tokenizer._tokenizer.id_to_token(index) == first_byte)
    assert tokenizer.decode([half]) == "\ufffd"


def test_byte_chars_are_the_alphabet_of_tokenizers() -> None:
    assert len(byte_chars()) == 256
    assert sorted(byte_chars()) == sorted(pre_tokenizers.ByteLevel.alphabet())


def test_truncation_and_padding_of_the_file_are_not_obeyed() -> None:
    cutting = HfTokenizer.from_str(made(290).decode())
    cutting.enable_truncation(4)
    cutting.enable_padding(length=50)
    text = "the dog sat on the mat"
    assert Tokenizer(cutting.to_str().encode(), 290, 0).encode(text) == Tokenizer(made(290), 290, 0).encode(text)


def test_a_lone_surrogate_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(TokenizerError, match="valid Unicode"):
        tokenizer.encode("a\ud800b")


def test_a_tokenizer_of_another_kind_is_refused() -> None:
    words = HfTokenizer(models.WordLevel({"日本": 0, "b": 1}, unk_token="b"))
    with pytest.raises(TokenizerError, match="not byte-level"):
        Tokenizer(words.to_str().encode(), 2, 0).decode([0])
    with pytest.raises(TokenizerError, match=r"tokenizer\.json"):
        Tokenizer(b"{}", 2, 0)


def test_load_takes_the_shards_own_tokenizer_only(tmp_path: Path) -> None:
    manifest = Manifest(hash_bytes(made(290)), 290, 0, "uint16", {"train": {}, "val": {}})
    with pytest.raises(ShardError, match=r"tokenizer\.json: missing"):
        Tokenizer.load(tmp_path, manifest)
    (tmp_path / "tokenizer.json").write_bytes(made(290))
    assert Tokenizer.load(tmp_path, manifest).encode("the cat") == Tokenizer(made(290), 290, 0).encode("the cat")
    (tmp_path / "tokenizer.json").write_bytes(made(291))
    with pytest.raises(ForeignTokenizer, match="a tokenizer that is not the shards' own") as caught:
        Tokenizer.load(tmp_path, manifest)
    assert str(tmp_path / "tokenizer.json") in str(caught.value)


def with_byte_fallback(add_dummy_prefix: bool = True) -> bytes:
    """A SentencePiece model of a few pieces as tokenizer.json; id 2 is the end of text."""
    pieces = [Piece(text, 0.0, Kind.CONTROL) for text in ("<pad>", "<s>", "</s>")]
    pieces += [Piece("<unk>", 0.0, Kind.UNKNOWN), *(Piece(text, 0.0, Kind.BYTE) for text in byte_pieces())]
    texts = ["\u2581a", "\u2581\u2581", "bc", "\u2581", "a", "b", "c"]
    pieces += [Piece(text, -float(rank), Kind.NORMAL) for rank, text in enumerate(texts)]
    model = SentencePieceModel(pieces, "bpe", True, "identity", False, add_dummy_prefix, False, False, True)
    return orjson.dumps(tokenizer_record(model, ""))


@given(texts=st.lists(st.text() | st.text(" abc"), min_size=1, max_size=3))
def test_a_space_that_stands_before_each_document_is_left_out(texts: list[str]) -> None:
    tokenizer = Tokenizer(with_byte_fallback(), 267, 2)
    plain = Tokenizer(with_byte_fallback(add_dummy_prefix=False), 267, 2)
    assert (tokenizer.prefix_bytes, plain.prefix_bytes) == (1, 0)
    for text in texts:
        assert tokenizer.decode(tokenizer.encode(text)) == text == plain.decode(plain.encode(text))
        num_bytes = int(tokenizer.token_bytes[tokenizer.encode(text)].sum())
        assert num_bytes - tokenizer.prefix_bytes * bool(text) == len(text.encode())
    ids = [index for text in texts for index in [*tokenizer.encode(text), 2]]
    assert tokenizer.decode(ids) == "".join(f"{text}</s>" for text in texts)


def test_a_space_amid_a_document_stays() -> None:
    tokenizer = Tokenizer(with_byte_fallback(), 267, 2)
    ids = tokenizer.encode("a a")
    assert ids == [260, 260]
    assert tokenizer.bytes_of(ids) == b" a a"
    assert tokenizer.bytes_of(ids, begins=True) == b"a a"
    assert tokenizer.bytes_of(ids[1:]) == b" a"
    assert tokenizer.decode([4 + byte for byte in "é".encode()]) == "é"
