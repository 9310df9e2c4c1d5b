"""The tokenizer as a stage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from data_pipeline.pipeline import Result

Config = Callable[..., dict[str, Any]]
Go = Callable[[dict[str, Any]], Result]
Redone = Callable[[Result], list[str]]


def test_a_given_tokenizer_is_used_and_a_change_of_it_noticed(
    made: Any, finished: Path, out: Path, config: Config, tmp_path: Path, go: Go, redone: Redone
) -> None:
    path = tmp_path / "mine.json"
    path.write_bytes((finished / "tokenizer.json").read_bytes())
    given = {"_target_": "data_pipeline.tokenize.tokenizer.TokenizerFile", "path": str(path)}
    assert redone(go(config(made.folder, out, tokenizer=given))) == ["tokenizer"]  # the same file: the shards stay
    path.write_bytes(path.read_bytes() + b"\n")
    assert redone(go(config(made.folder, out, tokenizer=given))) == ["tokenizer", "shards"]
    assert (out / "tokenizer.json").read_bytes() == path.read_bytes()
