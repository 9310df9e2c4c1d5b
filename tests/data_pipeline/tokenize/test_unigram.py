"""A byte-level Unigram model that was trained elsewhere keeps every byte, and is taken."""

from __future__ import annotations

from pydoc_data.topics import topics

import orjson
import pyarrow as pa
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from data_pipeline.tokenize.checks import check
from data_pipeline.tokenize.encoder import Encoder
from data_pipeline.tokenize.errors import TokenizerError


@pytest.fixture(scope="module")
def made() -> bytes:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.UnigramTrainer(
        vocab_size=600,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(list(topics.values())[:20], trainer)
    return bytes(tokenizer.to_str().encode())


def test_it_is_taken_and_loses_nothing(made: bytes) -> None:
    texts = ["a" * 10_000, "東京 \0\n", *list(topics.values())[:3]]
    check(made, "<|endoftext|>", texts, "mine")
    ids, lengths = Encoder(made).encode(pa.array(texts, pa.large_string()))
    tokenizer = Tokenizer.from_str(made.decode())
    assert tokenizer.decode(ids[: lengths[0] - 1].tolist(), skip_special_tokens=False) == texts[0]


def test_one_that_lacks_a_byte_is_refused(made: bytes) -> None:
    record = orjson.loads(made)
    record["model"]["vocab"] = [entry for entry in record["model"]["vocab"] if entry[0] != "Q"]
    with pytest.raises(TokenizerError, match=r"^mine: 1 of the 256 bytes have no token of their own \(Q\)"):
        check(orjson.dumps(record), "<|endoftext|>", [], "mine")
