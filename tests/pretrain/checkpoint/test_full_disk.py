"""A disk that is full, fills up or is not there: the save fails, what was saved before stays as it was."""

from __future__ import annotations

import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from pretrain.checkpoint.checkpointer import DcpCheckpoint
from pretrain.checkpoint.errors import NoRoom, SaveFailed
from pretrain.checkpoint.integrity import verify
from pretrain.checkpoint.room import bytes_needed
from pretrain.mesh import Mesh
from pretrain.plan import Plan
from pretrain.types import TrainState

MakeState = Callable[..., TrainState]


def names(run_dir: Path) -> list[str]:
    return sorted(path.name for path in (run_dir / "checkpoints").iterdir())


def as_before(run_dir: Path, saved: Path, error: SaveFailed, needed: int) -> None:
    assert names(run_dir) == [saved.name] and verify(saved) == []
    assert f"it needs {needed} bytes" in str(error) and " are free; earlier checkpoints are as they were" in str(error)


@pytest.mark.parametrize("limit", [100, 50_000, 200_000])
def test_a_save_that_fails_in_the_middle_leaves_nothing_and_harms_nothing(
    checkpointer: DcpCheckpoint, make_state: MakeState, saved: Path, run_dir: Path, limit: int
) -> None:
    state = make_state(20)
    needed = bytes_needed(state.tensors, world_size=1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(SaveFailed, match=r"step 20 could not be saved.*File too large") as caught:
            checkpointer.save(20, state)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    as_before(run_dir, saved, caught.value, needed)
    checkpointer.save(20, state)
    assert verify(run_dir / "checkpoints" / "step_00000020") == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"can't mount a tmpfs: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("room_kb", [1500, 900, 200])
def test_a_full_disk_is_foreseen_or_survived(
    mesh: Mesh, plan: Plan, make_state: MakeState, small_disk: Path, room_kb: int
) -> None:
    checkpointer = DcpCheckpoint(10, 3, mesh, plan, small_disk, asynchronous=False)
    checkpointer.save(10, make_state(10))
    saved = small_disk / "checkpoints" / "step_00000010"
    free = shutil.disk_usage(small_disk).free
    (small_disk / "other").write_bytes(bytes(max(0, free - room_kb * 1024)))
    big = make_state(20)
    big.tensors["model.big"] = torch.zeros(300_000)
    needed = bytes_needed(big.tensors, world_size=1)
    with pytest.raises(SaveFailed, match="the disk has no room") as caught:
        checkpointer.save(20, big)
    as_before(small_disk, saved, caught.value, needed)
    assert isinstance(caught.value, NoRoom)


def test_a_disk_that_fills_up_while_saving_is_survived(
    mesh: Mesh, plan: Plan, make_state: MakeState, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpointer = DcpCheckpoint(10, 3, mesh, plan, small_disk, asynchronous=False)
    checkpointer.save(10, make_state(10))
    big = make_state(20)
    big.tensors["model.big"] = torch.zeros(500_000)
    usage = shutil.disk_usage(small_disk)
    # as if another program wrote the rest of the disk after we looked
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10**9))
    with pytest.raises(NoRoom, match="No space left on device"):
        checkpointer.save(20, big)
    monkeypatch.undo()
    assert names(small_disk) == ["step_00000010"] and verify(small_disk / "checkpoints" / "step_00000010") == []


def test_a_folder_that_cannot_be_made_is_a_failed_save(
    mesh: Mesh, plan: Plan, make_state: MakeState, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SaveFailed, match="could not be saved") as caught:
        DcpCheckpoint(10, 3, mesh, plan, tmp_path / "file", asynchronous=False).save(10, make_state(10))
    assert not isinstance(caught.value, NoRoom)  # another start may find the file gone


@pytest.mark.parametrize("seed", range(5))
def test_a_checkpoint_takes_no_more_than_was_asked_for(
    checkpointer: DcpCheckpoint, make_state: MakeState, run_dir: Path, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    state = make_state(10)
    for number in range(50):
        size = int(torch.randint(0, 40_000, (), generator=generator))
        state.tensors[f"model.t{number}"] = torch.zeros(size, dtype=torch.uint8)
    checkpointer.save(10, state)
    taken = sum(path.stat().st_size for path in (run_dir / "checkpoints/step_00000010").iterdir())
    needed = bytes_needed(state.tensors, world_size=1)
    assert taken <= needed < taken + (2 << 20)
    vast = {"x": torch.zeros(1, dtype=torch.uint8).expand(1 << 40)}  # its block sums alone are 256 MiB
    assert bytes_needed(vast, world_size=64) > (1 << 40) + (1 << 28)


def test_too_few_files_are_foreseen(mesh: Mesh, plan: Plan, make_state: MakeState, tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=9m,nr_inodes=16", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"can't mount a tmpfs: {mounted.stderr.decode().strip()}")
    try:
        checkpointer = DcpCheckpoint(10, 3, mesh, plan, folder, asynchronous=False)
        checkpointer.save(10, make_state(10))
        with pytest.raises(SaveFailed, match=r"room for \d more files, 9 are needed.* earlier checkpoints are as they"):
            checkpointer.save(20, make_state(20))
        assert names(folder) == ["step_00000010"] and verify(folder / "checkpoints/step_00000010") == []
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_the_room_that_pruning_will_free_is_not_counted_on(
    mesh: Mesh, plan: Plan, make_state: MakeState, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpointer = DcpCheckpoint(10, 1, mesh, plan, run_dir, asynchronous=False)
    for step in (10, 20, 30):
        checkpointer.save(step, make_state(step))
    state = make_state(40)
    usage, needed = shutil.disk_usage(run_dir), bytes_needed(state.tensors, world_size=1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=needed - 1))
    with pytest.raises(SaveFailed, match=rf"it needs {needed} bytes, {needed - 1} are free"):
        checkpointer.save(40, state)
    assert names(run_dir) == ["step_00000020", "step_00000030"]
