"""WordPiece over bytes: the vocabulary of tokenizers' own trainer, nothing lost, nothing unknown."""

from __future__ import annotations

from pydoc_data.topics import topics
from typing import Any

import orjson
import pyarrow as pa
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from data_pipeline.tokenize.checks import check
from data_pipeline.tokenize.encoder import Encoder
from data_pipeline.tokenize.errors import TokenizerError
from data_pipeline.tokenize.probe import probe_texts
from data_pipeline.tokenize.split import SplitName
from data_pipeline.tokenize.wordpiece import MAX_PIECE_BYTES, ByteLevelWordPiece
from foundation.errors import SettingError

TEXTS = [*topics.values(), *probe_texts([]), "x" * 250 + " " + "é" * 300]


@pytest.fixture(scope="module")
def made() -> bytes:
    return ByteLevelWordPiece(2000).train(iter(TEXTS))


@pytest.mark.parametrize("split", ["gpt2", "cl100k"])
def test_the_file_is_that_of_tokenizers_own_trainer(split: SplitName) -> None:
    ours = ByteLevelWordPiece(1500, split).train(iter(TEXTS))
    read = Tokenizer.from_str(ours.decode())
    theirs = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=MAX_PIECE_BYTES))
    theirs.pre_tokenizer, theirs.decoder = read.pre_tokenizer, read.decoder
    trainer = trainers.WordPieceTrainer(
        vocab_size=1500,
        min_frequency=2,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        continuing_subword_prefix="",
        show_progress=False,
    )
    theirs.train_from_iterator(iter(TEXTS), trainer)
    assert ours == theirs.to_str(pretty=True).encode()


def longest_first(piece: bytes, tokens: dict[bytes, int]) -> list[int]:
    ids = []
    while piece:
        size = next(size for size in range(len(piece), 0, -1) if piece[:size] in tokens)
        ids.append(tokens[piece[:size]])
        piece = piece[size:]
    return ids


def test_a_text_gives_the_longest_tokens_from_the_left(made: bytes) -> None:
    vocab = orjson.loads(made)["model"]["vocab"]
    letters = {text.encode(): number for text, number in vocab.items() if text.isascii()}
    for word in ("return", "statements", "thethethe", "x" * 99, "b" * 260):
        ids, _ = Encoder(made).encode(pa.array([word], pa.large_string()))
        pieces = [word[at : at + MAX_PIECE_BYTES].encode() for at in range(0, len(word), MAX_PIECE_BYTES)]
        assert ids.tolist() == [number for piece in pieces for number in longest_first(piece, letters)] + [0]


def test_nothing_is_lost_however_long(made: bytes) -> None:
    texts = [*TEXTS[-200:], "a" * 100_000, "東京" * 5000, "\n" * 12_345, "\0" * 101]
    check(made, "<|endoftext|>", texts, "here")
    ids, lengths = Encoder(made).encode(pa.array(texts, pa.large_string()))
    tokenizer, start = Tokenizer.from_str(made.decode()), 0
    for text, length in zip(texts, lengths.tolist(), strict=True):
        assert tokenizer.decode(ids[start : start + length - 1].tolist(), skip_special_tokens=False) == text
        start += length


@pytest.mark.parametrize("text", ["END", "==", "<<1>>", "x_", "é¡µ"])
@pytest.mark.parametrize("key", ["eot_token", "special_tokens"])
def test_a_special_token_that_may_lie_inside_of_a_piece_is_refused(key: str, text: str) -> None:
    value: Any = text if key == "eot_token" else [text]
    with pytest.raises(SettingError, match=f"^{key}: '{text}' is not allowed; give a text that is cut in two pieces"):
        ByteLevelWordPiece(**{key: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda record: record["pre_tokenizer"]["pretokenizers"].pop(),
            "can't encode 'aaa",
        ),
        (
            lambda record: record["model"].update(max_input_chars_per_word=99),
            "can't encode 'aaa",
        ),
        (lambda record: record["model"].update(continuing_subword_prefix="##"), "can't encode "),
        (lambda record: record["model"]["vocab"].pop("Q"), "1 of the 256 bytes have no token of their own"),
        (
            lambda record: record.update(decoder={"type": "WordPiece", "prefix": "##", "cleanup": True}),
            "its decoder is WordPiece",
        ),
    ],
)
def test_a_wordpiece_that_would_lose_text_is_refused(made: bytes, change: Any, message: str) -> None:
    record = orjson.loads(made)
    change(record)
    with pytest.raises(TokenizerError, match=r"^mine: ") as caught:
        check(orjson.dumps(record), "<|endoftext|>", [], "mine")
    assert message in str(caught.value)
