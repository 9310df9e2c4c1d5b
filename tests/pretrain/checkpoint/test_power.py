"""A machine that loses power at any moment of a save finds whole checkpoints, the newest among them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pretrain.checkpoint.checkpointer import DcpCheckpoint
from pretrain.checkpoint.integrity import folder_name, step_folders, verify
from pretrain.types import TrainState


@pytest.mark.parametrize("names_kept", [True, False])
def test_what_was_saved_is_there_and_nothing_else_looks_like_it(
    checkpointer: DcpCheckpoint,
    make_state: Callable[..., TrainState],
    run_dir: Path,
    tmp_path: Path,
    disk: Any,
    names_kept: bool,
) -> None:
    checkpoints, saved, moments = run_dir / "checkpoints", [0], []

    def look(path: Path) -> None:
        moments.append(path)
        found = disk.after_power_loss(checkpoints, tmp_path / f"found{len(moments)}", names_kept)
        folders = step_folders(found)
        assert [verify(folder) for folder in folders] == [[]] * len(folders)
        assert saved[-1] == 0 or folders[0].name >= folder_name(saved[-1])

    disk.then = look
    for step in (10, 20, 30, 40, 50):  # the first ones are pruned
        checkpointer.save(step, make_state(step))
        saved.append(step)
        look(run_dir)
    assert len(moments) > 5 * 6


def test_a_checkpoint_that_was_passed_over_is_in_the_journal(
    checkpointer: DcpCheckpoint, make_state: Callable[..., TrainState], run_dir: Path, tmp_path: Path, disk: Any
) -> None:
    for step in (10, 20):
        checkpointer.save(step, make_state(step))
    (run_dir / "checkpoints" / "step_00000020" / "facts.json").write_bytes(b"")
    assert checkpointer.load(make_state(99))
    found = disk.after_power_loss(run_dir, tmp_path / "found")
    assert (found / "journal.jsonl").read_bytes() == (run_dir / "journal.jsonl").read_bytes()
    assert "step_00000020.set_aside1" in (found / "journal.jsonl").read_text()
