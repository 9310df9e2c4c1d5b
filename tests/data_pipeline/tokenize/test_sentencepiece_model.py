"""The reader of .model files agrees with the library, and says so of what is none."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from sentencepiece import SentencePieceProcessor

from data_pipeline.tokenize.errors import TokenizerError
from data_pipeline.tokenize.sentencepiece_model import Kind, read_model

Train = Callable[..., Path]


@pytest.mark.parametrize("model_type", ["bpe", "unigram"])
def test_reads_what_the_library_reads(spm: Train, model_type: str) -> None:
    path = spm(model_type=model_type, user_defined_symbols=["<sep>"])
    model, oracle = read_model(path.read_bytes(), ""), SentencePieceProcessor(model_file=str(path))
    assert [piece.text for piece in model.pieces] == [oracle.id_to_piece(i) for i in range(oracle.vocab_size())]
    assert [piece.score for piece in model.pieces] == [oracle.get_score(i) for i in range(oracle.vocab_size())]
    for kind, is_kind in (
        (Kind.CONTROL, oracle.is_control),
        (Kind.UNKNOWN, oracle.is_unknown),
        (Kind.BYTE, oracle.is_byte),
        (Kind.UNUSED, oracle.is_unused),
    ):
        found = [index for index, piece in enumerate(model.pieces) if piece.kind == kind]
        assert found == [index for index in range(oracle.vocab_size()) if is_kind(index)]
    assert [piece.text for piece in model.pieces if piece.kind == Kind.USER_DEFINED] == ["<sep>"]
    assert (model.algorithm, model.byte_fallback, model.has_charsmap) == (model_type, True, False)
    assert (model.add_dummy_prefix, model.remove_extra_whitespaces, model.escape_whitespaces) == (True, False, True)


@pytest.mark.parametrize(
    ("change", "attribute", "expected"),
    [
        ({"add_dummy_prefix": False}, "add_dummy_prefix", False),
        ({"remove_extra_whitespaces": True}, "remove_extra_whitespaces", True),
        ({"normalization_rule_name": "nmt_nfkc"}, "has_charsmap", True),
        ({"normalization_rule_name": "nmt_nfkc"}, "normalization", "nmt_nfkc"),
        ({"byte_fallback": False}, "byte_fallback", False),
        ({"treat_whitespace_as_suffix": True}, "space_as_suffix", True),
    ],
)
def test_reads_each_setting(spm: Train, change: dict[str, object], attribute: str, expected: object) -> None:
    model = read_model(spm(**{"model_type": "bpe", **change}).read_bytes(), "")
    assert getattr(model, attribute) == expected


def test_a_model_that_is_cut_is_refused_wherever_it_is(spm: Train) -> None:
    data = spm(model_type="bpe").read_bytes()
    whole = read_model(data, "")
    for size in [*range(0, 200), *range(len(data) - 300, len(data))]:
        try:
            cut = read_model(data[:size], "tokenizer.path: x.model")
        except TokenizerError as error:
            assert str(error).startswith("tokenizer.path: x.model: no SentencePiece model")
        else:
            assert cut == whole  # only what decides nothing is missing


def test_flipped_bytes_give_a_model_or_an_error_of_ours(spm: Train) -> None:
    data, rng = spm(model_type="bpe").read_bytes(), random.Random(1)
    refused = 0
    for _ in range(300):
        odd = bytearray(data)
        for _ in range(rng.randrange(1, 4)):
            odd[rng.randrange(len(odd))] = rng.randrange(256)
        try:
            read_model(bytes(odd), "x")
        except TokenizerError:
            refused += 1
    assert refused > 30


@pytest.mark.parametrize("data", [b"", b"{}", b"\x0a", b"\xff" * 40, b'{"model": {"type": "BPE"}}'])
def test_another_file_is_refused(data: bytes) -> None:
    with pytest.raises(TokenizerError, match="no SentencePiece model"):
        read_model(data, "x")
