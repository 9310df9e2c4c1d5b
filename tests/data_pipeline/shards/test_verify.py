"""A whole folder is judged in one pass: nothing wrong is missed, nothing healthy is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from data_pipeline.shards.errors import ShardError
from data_pipeline.shards.verify import verify


def test_names_everything_that_is_wrong_and_nothing_else(make_folder: Callable[..., Path]) -> None:
    folder = make_folder()
    assert verify(folder) == []
    train = folder / "shards" / "train"
    data = bytearray((train / "a_00001.bin").read_bytes())
    data[10] ^= 1
    data[-1] ^= 128
    (train / "a_00001.bin").write_bytes(data)
    (train / "b_00000.idx").unlink()
    (folder / "tokenizer.json").write_bytes(b"{}")
    found = verify(folder)
    assert len(found) == 4
    for message, part in zip(
        found,
        ("not the shards' own", "a_00001.bin: block 0 ", "a_00001.bin: block 3 ", "b_00000.idx: missing"),
        strict=True,
    ):
        assert part in message


def test_without_a_manifest_nothing_is_judged(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="python -m data_pipeline"):
        verify(tmp_path)
