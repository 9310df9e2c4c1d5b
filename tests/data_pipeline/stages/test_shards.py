"""The shards as a stage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.pipeline import Result

Config = Callable[..., dict[str, Any]]
Go = Callable[[dict[str, Any]], Result]
Redone = Callable[[Result], list[str]]


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
