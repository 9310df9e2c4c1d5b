"""A checkpoint is found by any process, the newest that can be used; the ranks together verify each file, once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pretrain.checkpoint import reading
from pretrain.checkpoint.checkpointer import DcpCheckpoint
from pretrain.checkpoint.errors import CheckpointError, UnhealthyCheckpoint
from pretrain.checkpoint.integrity import FileSum
from pretrain.checkpoint.reading import newest_checkpoint, open_checkpoint, verify_share
from pretrain.types import TrainState

MakeState = Callable[..., TrainState]


@pytest.mark.parametrize("world_size", [1, 2, 3, 20])
def test_all_ranks_together_verify_every_file_once(
    saved: Path, world_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, verified, verify = open_checkpoint(saved), [], reading.verify_file

    def counting(folder: Path, manifest: reading.Manifest, name: str, between: Any) -> None:
        verified.append(name)
        verify(folder, manifest, name, between)

    monkeypatch.setattr(reading, "verify_file", counting)
    signs: list[int] = []
    for rank in range(world_size):
        verify_share(opened, rank, world_size, lambda: signs.append(1))
    assert sorted(verified) == sorted(opened.manifest.files)
    assert len(signs) == 1  # the one .bin, of less than 16 MiB


@pytest.mark.parametrize("world_size", [2, 3, 6])
def test_each_rank_verifies_as_many_large_files_as_the_others(
    saved: Path, world_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_checkpoint(saved)
    sizes = {".bin": 1 << 30, ".json": 900, ".sum": 1 << 18}
    files = {f"rank_{rank:05d}{kind}": FileSum(size, "") for rank in range(6) for kind, size in sizes.items()}
    several = replace(opened, manifest=replace(opened.manifest, files=files))
    verified: list[str] = []
    monkeypatch.setattr(reading, "verify_file", lambda folder, manifest, name, between: verified.append(name))
    for rank in range(world_size):
        verified.clear()
        verify_share(several, rank, world_size)
        assert sum(name.endswith(".bin") for name in verified) == 6 // world_size


def test_the_newest_that_can_be_used_is_found_and_nothing_is_moved(
    checkpointer: DcpCheckpoint, make_state: MakeState, saved: Path, run_dir: Path
) -> None:
    checkpointer.save(20, make_state(20))
    sick = make_state(30)
    sick.tensors["model.weight"][0] = math.nan
    checkpointer.save(30, sick)
    (saved.with_name("step_00000020") / "rank_00000.bin").write_bytes(b"damaged")
    before = sorted(run_dir.rglob("*"))
    assert newest_checkpoint(run_dir).folder == saved
    assert sorted(run_dir.rglob("*")) == before


def test_an_unhealthy_one_names_its_first_tensors(checkpointer: DcpCheckpoint, run_dir: Path) -> None:
    tensors = {f"t{i}": torch.full((2,), math.inf) for i in range(7)}
    checkpointer.save(10, TrainState(tensors))
    with pytest.raises(UnhealthyCheckpoint, match="was saved in t0, t1, t2, t3, t4 and 2 more; use an earlier"):
        open_checkpoint(run_dir / "checkpoints" / "step_00000010")


def test_a_run_without_any_is_told_so(run_dir: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint here; train first, or name another run"):
        newest_checkpoint(run_dir)
