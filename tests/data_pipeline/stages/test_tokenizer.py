"""The tokenizer as a stage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from data_pipeline.pipeline import Result
from data_pipeline.shards.manifest import Manifest
from data_pipeline.tokenize.bpe import ByteLevelBPE

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
