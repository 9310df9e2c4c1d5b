"""Training gives the same bytes each time, and says what a text can't support."""

from __future__ import annotations

import collections
import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from data_pipeline.tokenize.bpe import ByteLevelBPE
from data_pipeline.tokenize.byte_level import LEAST_MEMORY_BYTES
from data_pipeline.tokenize.encoder import Encoder
from data_pipeline.tokenize.errors import TokenizerError
from data_pipeline.tokenize.probe import probe_texts
from data_pipeline.tokenize.split import SplitName, pre_tokenizer
from foundation.errors import SettingError


def test_merges_are_those_of_the_plain_algorithm() -> None:
    """Byte-pair encoding written as in Sennrich et al. 2016: merge the most frequent pair, ties by smaller ids."""
    text = "low low low lower lower newest newest newest newest widest widest"
    size = 257 + 8
    words = collections.Counter([text.split()[0], *(" " + word for word in text.split()[1:])])
    record = orjson.loads(ByteLevelBPE(size).train(iter([text])))
    ids = dict(record["model"]["vocab"])
    split = {tuple(word.replace(" ", "Ġ")): count for word, count in words.items()}
    merges = []
    for _ in range(8):
        pairs: dict[tuple[str, str], int] = {}
        for word, count in split.items():
            for pair in itertools.pairwise(word):
                pairs[pair] = pairs.get(pair, 0) + count
        best = min(pairs, key=lambda pair: (-pairs[pair], ids[pair[0]], ids[pair[1]]))
        merges.append(list(best))
        merged = {}
        for word, count in split.items():
            out: list[str] = []
            for piece in word:
                if out and (out[-1], piece) == best:
                    out[-1] += piece
                else:
                    out.append(piece)
            merged[tuple(out)] = count  # different words stay different
        split = merged
    assert record["model"]["merges"] == merges


def by_tokenizers(texts: Iterator[str], split: SplitName, special: list[str], size: int, min_frequency: int) -> bytes:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer(split)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=min_frequency,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return bytes(tokenizer.to_str(pretty=True).encode())


@pytest.mark.parametrize("split", ["gpt2", "cl100k"])
@pytest.mark.parametrize(("size", "min_frequency"), [(300, 2), (2000, 1), (6000, 3)])
def test_the_file_is_that_of_tokenizers_own_trainer(split: SplitName, size: int, min_frequency: int) -> None:
    """On Python's manual, which the package pydoc_data has, and on what the probe knows of other scripts."""
    texts = [*topics.values(), *probe_texts(["<|user|>"])]
    special = ["<|endoftext|>", "<|user|>", "<|assistant|>"]
    trainer = ByteLevelBPE(size, split, special[1:], min_frequency, memory_bytes=LEAST_MEMORY_BYTES)
    assert trainer.train(iter(texts)) == by_tokenizers(iter(texts), split, special, size, min_frequency)


def test_the_split_of_llama_3_is_encoded_by_the_fast_engine() -> None:
    pytest.importorskip("gigatoken")
    encoder = Encoder(ByteLevelBPE(1000, "cl100k").train(iter(topics.values())))
    assert (encoder.engine, encoder.vocab_size) == ("gigatoken", 1000)


def test_special_tokens_have_the_first_ids_and_are_no_text() -> None:
    trained = ByteLevelBPE(269, special_tokens=["<|user|>", "<|x|>"]).train(iter(["<|user|> says <|x|> " * 40] * 9))
    record = orjson.loads(trained)
    assert [token["id"] for token in record["added_tokens"]] == [0, 1, 2]
    assert [token["content"] for token in record["added_tokens"]] == ["<|endoftext|>", "<|user|>", "<|x|>"]
    ids, _ = Encoder(trained).encode(pa.array(["<|user|> says <|x|>"], pa.large_string()))
    assert set(ids.tolist()) & {0, 1, 2} == {0}  # the end of the document alone


def test_a_special_token_that_merges_build_is_refused() -> None:
    with pytest.raises(TokenizerError, match=r"^tokenizer\.special_tokens: '====' is a token that merges make"):
        ByteLevelBPE(263, special_tokens=["===="]).train(iter(["he====says " * 40]))


def test_training_gives_the_same_bytes_in_another_process(corpus: list[str], trained: bytes, tmp_path: Path) -> None:
    (tmp_path / "corpus.json").write_bytes(orjson.dumps(corpus))
    code = (
        "import sys, orjson; from data_pipeline.tokenize.bpe import ByteLevelBPE\n"
        "texts = orjson.loads(open(sys.argv[1], 'rb').read())\n"
        "sys.stdout.buffer.write(ByteLevelBPE(vocab_size=600).train(iter(texts)))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "corpus.json")]
    assert subprocess.run(command, capture_output=True, check=True).stdout == trained


def test_a_vocabulary_larger_than_the_text_supports_says_how_many_merges_there_were() -> None:
    text = "abcabc abcabc"  # supports ab, abc, abcabc; the space before the second occurs once
    with pytest.raises(TokenizerError, match="more than the text supports: 3 merges occur at least 2 times") as caught:
        ByteLevelBPE(vocab_size=5000).train(iter([text]))
    assert str(caught.value).startswith("tokenizer.vocab_size: 5000")
    assert "set tokenizer.vocab_size=260 or less" in str(caught.value)
    assert len(orjson.loads(ByteLevelBPE(vocab_size=260).train(iter([text])))["model"]["merges"]) == 3


def test_an_error_of_the_texts_passes_through() -> None:
    def broken() -> Iterator[str]:
        yield "some text"
        raise RuntimeError("the partition can't be read")

    with pytest.raises(RuntimeError, match="the partition can't be read"):
        ByteLevelBPE(300).train(broken())


def test_end_of_text_that_merges_build_is_refused() -> None:
    with pytest.raises(TokenizerError, match=r"^tokenizer\.eot_token: '\+\+\+' is a token that merges make"):
        ByteLevelBPE(vocab_size=260, eot_token="+++").train(iter(["+++ +++ +++ +++ +++ and more"] * 9))


@pytest.mark.bad_input(46)
def test_special_text_in_the_corpus_is_trained_on_as_text() -> None:
    tokenizer_json = ByteLevelBPE(vocab_size=268).train(iter(["<|endoftext|><|endoftext|>x" * 50]))
    tokens = orjson.loads(tokenizer_json)["model"]["vocab"]
    assert "endoftext" in tokens


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"vocab_size": 256}, "^vocab_size: 256 is not allowed; give a number from 257 "),
        ({"min_frequency": 0}, "^min_frequency: 0"),
        ({"sample_bytes": 0}, "^sample_bytes: 0"),
        ({"vocab_size": 1 << 31}, "^vocab_size: 2147483648 .*ids have 31 bits"),
        (
            {"vocab_size": 258, "special_tokens": ["<a>", "<b>"]},
            "^vocab_size: 258 is not allowed; give a number from 259 ",
        ),
        ({"memory_bytes": 1000}, "^memory_bytes: 1000"),
        (
            {"special_tokens": ["<a>", "<a>"]},
            "^special_tokens: '<a>' is there twice; give it once$",
        ),
        (
            {"special_tokens": ["<|endoftext|>"]},
            r"^special_tokens: '<\|endoftext\|>' is eot_token already, whose id is 0; leave it out here$",
        ),
        ({"special_tokens": [""]}, "^special_tokens: '' is empty; give a text, e.g. "),
        ({"special_tokens": ["<a>", "Ġ"]}, "^special_tokens: 'Ġ' is a byte's own token; give a longer text, e.g. "),
        ({"special_tokens": ["a"]}, "^special_tokens: 'a' is a byte's own token; "),
        ({"special_tokens": ["the"]}, "^special_tokens: 'the' is a word, which tokenizers would find in text"),
        ({"eot_token": "the"}, "^eot_token: 'the' is a word, which tokenizers would find in text"),
        ({"eot_token": " end 2"}, "^eot_token: ' end 2' is a word, "),
        ({"seed": -1}, "^seed: -1"),
        ({"eot_token": "a"}, "^eot_token: 'a'"),
        ({"eot_token": ""}, "^eot_token: ''"),
        ({"eot_token": "é"}, "^eot_token: 'é' is not allowed; give two or more characters"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_by_its_key(settings_: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        ByteLevelBPE(**settings_)


def test_the_sample_is_bounded() -> None:
    trainer = ByteLevelBPE(sample_bytes=1000)
    chosen = trainer.choose(np.zeros(100, np.int32), np.arange(100), np.full(100, 99))
    assert len(chosen) == 11  # the last may exceed the budget
    assert trainer.inputs() == []
