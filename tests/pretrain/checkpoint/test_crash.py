"""A save, a removal and a fallback, killed at every file operation: what is left is complete or not there."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pretrain.checkpoint.checkpointer import DcpCheckpoint
from pretrain.checkpoint.integrity import step_folders, verify
from pretrain.mesh import Mesh
from pretrain.plan import Plan
from pretrain.types import TrainState

WATCHED = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir"}
KILLED = 9


def killed_at(number: int, folder: Path, action: Callable[[], None]) -> bool:
    """Run `action` in a fork that dies before its `number`-th operation on a file below `folder`; return if it did."""
    child = os.fork()
    if child == 0:
        seen = 0

        def watch(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal seen
            if event in WATCHED and str(folder) in str(arguments):
                seen += 1
                if seen > number:
                    os._exit(KILLED)

        sys.addaudithook(watch)
        status = 1
        try:
            action()
            status = 0
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, KILLED)
    return status == KILLED


@pytest.fixture
def begin(
    mesh: Mesh, plan: Plan, tmp_path: Path, make_state: Callable[..., TrainState]
) -> Callable[[int], DcpCheckpoint]:
    """Make a run of its own with checkpoints at 10 and 20, of which the next save prunes the first."""

    def make(number: int) -> DcpCheckpoint:
        checkpointer = DcpCheckpoint(10, keep_last=1, mesh=mesh, plan=plan, run_dir=tmp_path / f"run{number}")
        for step in (10, 20):
            checkpointer.save(step, make_state(step))
            checkpointer.wait()
        return checkpointer

    return make


def test_a_save_killed_anywhere_leaves_whole_checkpoints(
    begin: Callable[[int], DcpCheckpoint], make_state: Callable[..., TrainState], tmp_path: Path
) -> None:
    def save(checkpointer: DcpCheckpoint, step: int) -> None:
        checkpointer.save(step, make_state(step))
        checkpointer.wait()

    number, killed, newest = 0, True, set()
    while killed:
        checkpointer, folder = begin(number), tmp_path / f"run{number}"
        killed = killed_at(number, folder, lambda: save(checkpointer, 30))  # noqa: B023 (called at once)
        found = step_folders(folder / "checkpoints")
        assert len(found) >= 2 and all(verify(path) == [] for path in found)
        live = make_state(99)
        assert checkpointer.load(live) and f"step_{live.facts['step']:08d}" == found[0].name
        newest.add(live.facts["step"])
        save(checkpointer, 30)  # the resumed run gets there again, or has it
        save(checkpointer, 40)
        assert sorted(path.name for path in (folder / "checkpoints").iterdir() if ".set_aside" not in path.name) == [
            "step_00000030",
            "step_00000040",
        ]
        number += 1
    assert number > 15 and newest == {20, 30}


def test_a_fallback_killed_anywhere_can_be_done_again(
    begin: Callable[[int], DcpCheckpoint], make_state: Callable[..., TrainState], tmp_path: Path
) -> None:
    number, killed = 0, True
    while killed:
        checkpointer, folder = begin(number), tmp_path / f"run{number}"
        (folder / "checkpoints" / "step_00000020" / "facts.json").write_bytes(b"")
        killed = killed_at(number, folder, lambda: checkpointer.load(make_state(99)))  # noqa: B023 (called at once)
        live = make_state(99)
        assert checkpointer.load(live) and live.facts["step"] == 10
        number += 1
    assert number > 5
