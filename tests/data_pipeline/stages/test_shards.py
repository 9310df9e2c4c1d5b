"""The shards as a stage."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_pipeline.ledger import LedgerUnbalanced
from data_pipeline.pipeline import Result
from data_pipeline.shards.writer import Sharder, ShardWriter

Config = Callable[..., dict[str, Any]]
Go = Callable[[dict[str, Any]], Result]
Redone = Callable[[Result], list[str]]


class Losing(ShardWriter):
    """Writes all documents that come together but the last."""

    def add(self, ids: np.ndarray, lengths: np.ndarray) -> None:
        super().add(ids[: int(lengths[:-1].sum())], lengths[:-1])


class LosingSharder(Sharder):
    """Writes shards by `Losing`."""

    def shard_writer(self, prefix: Path, dtype: np.dtype[Any]) -> ShardWriter:
        return Losing(prefix, dtype)


def test_the_books_count_what_the_shards_hold_not_what_was_sent_to_them(
    made: Any, config: Config, out: Path, go: Callable[..., Result]
) -> None:
    tree = config(made.folder, out, shards={"_target_": f"{__name__}.LosingSharder"})
    with pytest.raises(LedgerUnbalanced, match=r"shards, source '\w+': \d+ documents in .* are not \d+ out"):
        go(tree, f"{__name__}.")
    assert not (out / "manifest.json").exists()


def test_a_shard_with_a_flipped_bit_is_made_again_by_the_same_command(
    made: Any,
    config: Config,
    finished: Path,
    out: Path,
    output_hashes: Any,
    capsys: pytest.CaptureFixture[str],
    go: Go,
    redone: Redone,
) -> None:
    shard = out / "shards" / "train" / "books_00000.bin"
    data = bytearray(shard.read_bytes())
    data[100] ^= 1
    shard.write_bytes(data)  # of the right size
    tree = config(made.folder, out)
    assert redone(go(tree)) == ["shards"]
    assert "books_00000.bin: block 0" in capsys.readouterr().err
    assert output_hashes(out) == output_hashes(finished)
    assert redone(go(tree)) == []


def test_indentation_is_no_repetition_and_runs_of_a_sign_are(
    config: Config, go: Go, decoded: Any, tmp_path: Path
) -> None:
    """Without merges each blank and each sign is a token, as GPT-2's blanks of an indentation are."""
    indent = "\n" + " " * 40
    texts = [f"def f{number}:{indent}return {'0' * (number % 9)}\n\t\t\tdone {number * 7919}" for number in range(80)]
    (tmp_path / "code.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    (tmp_path / "test.jsonl").write_text(json.dumps({"question": "a question that no document holds at all"}) + "\n")
    corpus = {"_target_": "data_pipeline.sources.jsonl.Jsonl", "paths": [str(tmp_path / "code.jsonl")]}
    off = {"dedup": {"_target_": "data_pipeline.dedup.dedup.NoDedup"}}
    tree = config(tmp_path, tmp_path / "out", corpus=corpus, tokenizer__vocab_size=257, partition_bytes=1024, **off)
    made = go(tree).manifest
    for split, of_source in decoded(tmp_path / "out").items():
        ((source, found),) = of_source.items()
        pairs = [pair for text in found for pair in itertools.pairwise(text)]
        health = made.splits[split][source].health
        assert health is not None and len(found) > 1
        assert health.repeated_tokens == sum(first == second and not second.isspace() for first, second in pairs)
        assert health.share(health.repeated_tokens) < 0.1 < sum(first == second for first, second in pairs) / len(pairs)
