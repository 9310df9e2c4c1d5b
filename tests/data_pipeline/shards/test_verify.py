"""A whole folder is judged in one pass: nothing wrong is missed, nothing healthy is named."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from data_pipeline.shards.errors import ShardError
from data_pipeline.shards.verify import verify


def damage(folder: Path) -> None:
    """Two blocks of one shard, the index of another, the tokenizer."""
    train = folder / "shards" / "train"
    data = bytearray((train / "a_00001.bin").read_bytes())
    data[10] ^= 1
    data[-1] ^= 128
    (train / "a_00001.bin").write_bytes(data)
    (train / "b_00000.idx").unlink()
    (folder / "tokenizer.json").write_bytes(b"{}")


def type_line(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "data_pipeline.shards", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_names_everything_that_is_wrong_and_nothing_else(make_folder: Callable[..., Path]) -> None:
    folder = make_folder()
    assert not any(verify(folder).values())
    damage(folder)
    found = {name: [each.problem for each in problems] for name, problems in verify(folder).items() if problems}
    assert list(found) == ["tokenizer.json", "train/a_00001", "train/b_00000"]
    (foreign,), (first, last), (missing,) = found.values()
    assert "not the shards' own" in foreign and "b_00000.idx: missing" in missing
    assert "a_00001.bin: block 0 " in first and "a_00001.bin: block 3 " in last


def test_the_command_says_of_each_shard_whether_it_is_ok(make_folder: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_folder()
    healthy = type_line(str(folder))
    assert healthy.returncode == 0 and "train/a_00001: ok\n" in healthy.stdout and "damaged" not in healthy.stdout
    damage(folder)
    damaged = type_line(str(folder))
    assert damaged.returncode == 1
    assert "train/a_00000: ok\n" in damaged.stdout and "train/a_00001: damaged\n" in damaged.stdout
    assert "a_00001.bin: block 0 (bytes 0 to 65,536)" in damaged.stdout and "python -m data_pipeline" in damaged.stdout
    nothing = type_line(str(tmp_path / "absent"))
    assert nothing.returncode == 2 and nothing.stderr.startswith("error: ") and "Traceback" not in nothing.stderr


def test_its_help_says_the_exit_codes() -> None:
    assert "1 something is damaged" in " ".join(type_line("--help").stdout.split())


def test_without_a_manifest_nothing_is_judged(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="python -m data_pipeline"):
        verify(tmp_path)
