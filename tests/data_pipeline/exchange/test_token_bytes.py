"""The bytes behind tokens, counted by a table, are those of the text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer

from data_pipeline.exchange.token_bytes import NO_TOKEN, byte_lengths, num_bytes, num_bytes_plainly
from data_pipeline.shards.token_bytes import TokenBytes, token_bytes_of
from data_pipeline.tokenize.checks import vocab_size

TEXTS = ["", "It's 3 cats; naïve 東京 👩‍👩‍👧 \x00\xa0", "a" * 500, "  \n\t" * 20]


@pytest.fixture
def tokenizer(finished: Path) -> Tokenizer:
    made = Tokenizer.from_file(str(finished / "tokenizer.json"))
    made.add_special_tokens(["<|pad|>"])
    made.add_tokens([AddedToken("naïve 東京", normalized=False)])
    return made


def behind_of(tokenizer: Tokenizer) -> TokenBytes:
    return token_bytes_of(tokenizer.to_str().encode())


def test_texts_have_the_bytes_of_their_tokens(tokenizer: Tokenizer) -> None:
    lengths = byte_lengths(behind_of(tokenizer), vocab_size(tokenizer))
    for text in TEXTS:
        ids = tokenizer.encode(text).ids
        assert num_bytes(np.bincount(ids, minlength=len(lengths)), lengths) == len(text.encode())


@pytest.mark.parametrize("seed", range(5))
def test_any_tokens_are_counted_as_by_the_plain_way(tokenizer: Tokenizer, seed: int) -> None:
    size = vocab_size(tokenizer)
    ids = np.random.default_rng(seed).integers(0, size, 4000)
    lengths = byte_lengths(behind_of(tokenizer), size)
    assert num_bytes(np.bincount(ids, minlength=size), lengths) == num_bytes_plainly(ids.tolist(), behind_of(tokenizer))


def test_special_tokens_stand_for_no_text_and_holes_for_no_token(tokenizer: Tokenizer) -> None:
    lengths = byte_lengths(behind_of(tokenizer), vocab_size(tokenizer) + 2)
    assert lengths[tokenizer.token_to_id("<|pad|>")] == lengths[tokenizer.token_to_id("<|endoftext|>")] == 0
    assert lengths[tokenizer.token_to_id("naïve 東京")] == len("naïve 東京".encode())
    assert lengths[-2:].tolist() == [NO_TOKEN, NO_TOKEN]
