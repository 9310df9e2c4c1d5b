"""The tokenizer as a stage."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from data_pipeline.pipeline import Result
from data_pipeline.shards.manifest import Manifest
from data_pipeline.shards.reader import open_split
from data_pipeline.tokenize.bpe import ByteLevelBPE
from data_pipeline.tokenize.errors import TokenizerError
from foundation.errors import ConfigError
from pretrain.tokenizer import Tokenizer

Config = Callable[..., dict[str, Any]]
Go = Callable[[dict[str, Any]], Result]
Redone = Callable[[Result], list[str]]


def test_a_given_tokenizer_is_used_and_a_change_of_it_noticed(
    made: Any, finished: Path, out: Path, config: Config, tmp_path: Path, go: Go, redone: Redone
) -> None:
    path = tmp_path / "mine.json"
    path.write_bytes((finished / "tokenizer.json").read_bytes())
    record = orjson.loads(path.read_bytes())
    end = {**record["added_tokens"][0], "id": len(record["model"]["vocab"]), "content": "<|end|>"}
    given = {"_target_": "data_pipeline.tokenize.given.TokenizerFile", "path": str(path)}
    assert redone(go(config(made.folder, out, tokenizer=given))) == ["tokenizer"]  # the same file: the shards stay
    path.write_bytes(orjson.dumps({**record, "added_tokens": [*record["added_tokens"], end]}))
    assert redone(go(config(made.folder, out, tokenizer=given))) == ["tokenizer", "shards"]
    assert (out / "tokenizer.json").read_bytes() == path.read_bytes()
    assert redone(go(config(made.folder, out, tokenizer=given | {"eot_token": "<|end|>"}))) == ["tokenizer", "shards"]
    assert Manifest.load(out).eot_id == end["id"]


def test_it_learns_from_the_training_documents_alone(finished: Path, decoded: Any) -> None:
    texts = decoded(finished)["train"]
    trained = ByteLevelBPE(vocab_size=400).train(iter([*texts["books"], *texts["web"]]))
    assert (finished / "tokenizer.json").read_bytes() == trained


def test_workers_memory_and_partitions_change_nothing(
    made: Any, finished: Path, out: Path, config: Config, go: Go
) -> None:
    tokenizer = {"_target_": "data_pipeline.tokenize.bpe.ByteLevelBPE", "vocab_size": 400}
    for settings in ({"tokenizer": tokenizer | {"memory_bytes": 1 << 20}}, {"partition_bytes": 3000}):
        go(config(made.folder, out, **settings))
        assert (out / "tokenizer.json").read_bytes() == (finished / "tokenizer.json").read_bytes()


def test_counts_of_a_run_that_stopped_are_taken_as_they_are(
    made: Any, finished: Path, out: Path, config: Config, go: Go
) -> None:
    tokenizer = {"_target_": "data_pipeline.tokenize.bpe.ByteLevelBPE", "vocab_size": 1_000_000}
    with pytest.raises(TokenizerError, match="more than the text supports"):
        go(config(made.folder, out, tokenizer=tokenizer))
    runs = {path: path.stat().st_mtime_ns for path in (out / "work" / "tokenizer").glob("*.npz")}
    assert len(runs) > 2
    first = min(runs)
    first.write_bytes(first.read_bytes()[:-1])  # what is cut short is counted again
    last = max(runs)
    with pytest.raises(TokenizerError, match="more than the text supports"):
        go(config(made.folder, out, tokenizer=tokenizer | {"vocab_size": 900_000}))
    assert first.stat().st_mtime_ns > runs[first]
    assert last.stat().st_mtime_ns == runs[last]
    go(config(made.folder, out))
    assert (out / "tokenizer.json").read_bytes() == (finished / "tokenizer.json").read_bytes()
    assert not list((out / "work" / "tokenizer").glob("*.npz"))


@pytest.mark.bad_input(47)
def test_the_hash_of_a_given_file_is_written_down_and_another_file_is_refused_before_the_work(
    made: Any, finished: Path, out: Path, config: Config, tmp_path: Path, go: Go
) -> None:
    path = tmp_path / "mine.json"
    path.write_bytes((finished / "tokenizer.json").read_bytes())
    pin = hashlib.sha256(path.read_bytes()).hexdigest()
    given = {"_target_": "data_pipeline.tokenize.given.TokenizerFile", "path": str(path), "hash": pin}
    go(config(made.folder, out, tokenizer=given))
    assert pin in "".join(file.read_text() for file in (out / "work" / "tokenizer").glob("*.json"))
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(TokenizerError, match=f"not {pin} as tokenizer.hash says"):
        go(config(made.folder, out, tokenizer=given))
    assert (out / "tokenizer.json").read_bytes() == (finished / "tokenizer.json").read_bytes()


@pytest.mark.bad_input(47)
def test_a_vocabulary_above_the_dtype_is_refused(
    made: Any, finished: Path, out: Path, config: Config, tmp_path: Path, go: Go
) -> None:
    path, record = tmp_path / "large.json", orjson.loads((finished / "tokenizer.json").read_bytes())
    record["model"]["vocab"] |= {f"<{number}>": number for number in range(len(record["model"]["vocab"]), 100_000)}
    path.write_bytes(orjson.dumps(record))
    given = {"_target_": "data_pipeline.tokenize.given.TokenizerFile", "path": str(path)}
    narrow = {"_target_": "data_pipeline.shards.writer.Sharder", "dtype": "uint16"}
    message = r"shards\.dtype: uint16 holds ids up to 65,535, the vocabulary has 100,000 entries; set .*auto or int32"
    with pytest.raises(ConfigError, match=message):
        go(config(made.folder, out, tokenizer=given, shards=narrow))
    assert go(config(made.folder, out, tokenizer=given)).output_dir == out
    assert Manifest.load(out).dtype == "int32"


def test_a_sentencepiece_model_makes_shards_that_are_the_texts(
    made: Any, out: Path, config: Config, tmp_path: Path, go: Go
) -> None:
    (tmp_path / "text.txt").write_text("\n".join(made.unique["web"]))
    SentencePieceTrainer.train(
        input=str(tmp_path / "text.txt"), model_prefix=str(tmp_path / "m"), model_type="bpe", vocab_size=600,
        byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False, minloglevel=2,
    )  # fmt: skip
    given = {"_target_": "data_pipeline.tokenize.sentencepiece.SentencePiece", "path": str(tmp_path / "m.model")}
    go(config(made.folder, out, tokenizer=given))
    manifest, oracle = Manifest.load(out), SentencePieceProcessor(model_file=str(tmp_path / "m.model"))
    tokenizer = Tokenizer.load(out, manifest)
    assert manifest.eot_id == oracle.eos_id()
    for split, of_source in manifest.splits.items():
        for name, stream in open_split(out, manifest, split).items():
            ids = stream.tokens(0, stream.num_tokens).astype(np.int64)
            documents = [each.tolist() for each in np.split(ids, np.flatnonzero(ids == manifest.eot_id) + 1)[:-1]]
            texts = [tokenizer.decode(document[:-1]) for document in documents]
            assert [document[:-1] for document in documents] == [oracle.encode(text) for text in texts]
            assert set(texts) <= set(made.unique[name])
            assert sum(len(text.encode()) for text in texts) == of_source[name].utf8_bytes
