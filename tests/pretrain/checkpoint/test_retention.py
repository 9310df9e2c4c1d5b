"""What stays on disk."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from pretrain.checkpoint.checkpointer import DcpCheckpoint
from pretrain.checkpoint.errors import SaveFailed
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


def test_a_save_that_fails_has_removed_nothing(
    checkpointer: DcpCheckpoint, make_state: Callable[..., TrainState], run_dir: Path
) -> None:
    for step in (10, 20, 30):
        checkpointer.save(step, make_state(step))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(SaveFailed, match="earlier checkpoints are as they were"):
            checkpointer.save(40, make_state(40))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    found = step_folders(run_dir / "checkpoints")
    assert [path.name for path in found] == ["step_00000030", "step_00000020", "step_00000010"]


def test_what_cannot_be_removed_is_said_and_the_rest_stays_whole(
    checkpointer: DcpCheckpoint, make_state: Callable[..., TrainState], run_dir: Path, capfd: Any
) -> None:
    folder = run_dir / "checkpoints"
    for step in (10, 20, 30):
        checkpointer.save(step, make_state(step))
    (folder / ".step_00000010.removed").write_bytes(b"a file in the way")
    prune(folder, keep_last=1)
    assert "can't be removed" in capfd.readouterr().err
    assert all(verify(path) == [] for path in step_folders(folder)) and len(step_folders(folder)) == 3


def test_a_note_after_a_line_that_a_crash_cut_short_is_a_line_of_its_own(
    checkpointer: DcpCheckpoint, make_state: Callable[..., TrainState], run_dir: Path
) -> None:
    for step in (10, 20):
        checkpointer.save(step, make_state(step))
    (run_dir / "checkpoints" / "step_00000020" / "facts.json").write_bytes(b"")
    (run_dir / "journal.jsonl").write_bytes(b'{"event":"skip","step":1}\n{"event":"sk')
    assert checkpointer.load(make_state(99))
    lines = (run_dir / "journal.jsonl").read_bytes().splitlines()
    assert lines[1] == b'{"event":"sk' and orjson.loads(lines[2])["checkpoint"] == "step_00000020"
