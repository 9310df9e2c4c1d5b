"""What stays on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pretrain.checkpoint.checkpointer import DcpCheckpoint
from pretrain.checkpoint.integrity import step_folders, verify
from pretrain.checkpoint.retention import prune
from pretrain.types import TrainState


def test_damaged_ones_do_not_count_as_healthy(
    checkpointer: DcpCheckpoint, make_state: Callable[..., TrainState], run_dir: Path
) -> None:
    folder = run_dir / "checkpoints"
    for step in (10, 20, 30):
        checkpointer.save(step, make_state(step))
    (folder / "step_00000030" / "facts.json").write_bytes(b"")
    prune(folder, keep_last=1)
    assert [path.name for path in step_folders(folder)] == ["step_00000030", "step_00000020", "step_00000010"]


def test_what_can_not_be_removed_is_said_and_the_rest_stays_whole(
    checkpointer: DcpCheckpoint, make_state: Callable[..., TrainState], run_dir: Path, capfd: Any
) -> None:
    folder = run_dir / "checkpoints"
    for step in (10, 20, 30):
        checkpointer.save(step, make_state(step))
    (folder / ".step_00000010.removed").write_bytes(b"a file in the way")
    prune(folder, keep_last=1)
    assert "can't be removed" in capfd.readouterr().err
    assert all(verify(path) == [] for path in step_folders(folder)) and len(step_folders(folder)) == 3
