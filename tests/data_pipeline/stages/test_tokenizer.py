"""The tokenizer as a stage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from data_pipeline.pipeline import Result
from data_pipeline.shards.manifest import Manifest
from data_pipeline.tokenize.bpe import ByteLevelBPE
from data_pipeline.tokenize.errors import TokenizerError

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
