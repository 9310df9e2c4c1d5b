"""What a run's starts came to, and when another one is refused."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from pretrain.attempts import KEPT, KILLED, CrashLoop, close_attempt, open_attempt, read_attempts, withdraw_attempt
from pretrain.metrics.lines import MetricsFile
from pretrain.run_files import HANG
from pretrain.types import Status

TREE: dict[str, Any] = {"trainer": {"global_batch_size": 8}}


def fails(folder: Path, step: int, restarts: int, reason: str = "ValueError: no") -> None:
    open_attempt(folder, TREE, restarts)
    close_attempt(folder, Status.FAILED, reason, step, step + 2)


def test_the_fourth_try_at_one_step_is_refused_with_what_is_known(tmp_path: Path) -> None:
    for restarts in range(3):
        fails(tmp_path, step=7, restarts=restarts, reason=f"ValueError: {restarts // 2}")
    for _ in range(2):
        with pytest.raises(CrashLoop) as refused:
            open_attempt(tmp_path, TREE, 3)
        words = str(refused.value)
        assert (
            "3 tries in a row failed after step 7:\n  ValueError: 0\n  ValueError: 1\nstep 8 read the samples 72 to 79"
            in words
        )
        assert (refused.value.step, refused.value.exit_code, refused.value.restart_helps) == (7, 4, False)
    assert len(read_attempts(tmp_path)) == 3
    open_attempt(tmp_path, TREE, 0)  # typed by hand, it tries again
    close_attempt(tmp_path, Status.FAILED, "again", 7, 9)
    fails(tmp_path, step=7, restarts=1)
    open_attempt(tmp_path, TREE, 2)  # and has three tries


@pytest.mark.parametrize("steps", [(7, 7, 70), (7, 70, 7), (70, 7, 10)])
def test_tries_that_get_elsewhere_are_no_loop(tmp_path: Path, steps: tuple[int, ...]) -> None:
    for restarts, step in enumerate(steps):
        fails(tmp_path, step, restarts)
    open_attempt(tmp_path, TREE, 3)


def test_a_preempted_try_is_no_failure(tmp_path: Path) -> None:
    for restarts in range(3):
        fails(tmp_path, 7, restarts)
    open_attempt(tmp_path, TREE, 0)
    close_attempt(tmp_path, Status.PREEMPTED, "SIGTERM", 7, 7)
    open_attempt(tmp_path, TREE, 1)


def test_a_killed_try_is_known_by_its_last_line_and_what_the_watchdog_wrote(tmp_path: Path) -> None:
    metrics = MetricsFile(tmp_path)
    metrics.append({"step": 4, "data_step": 5})
    metrics.close()
    open_attempt(tmp_path, TREE, 0)
    open_attempt(tmp_path, TREE, 1)
    first, second = read_attempts(tmp_path)
    assert (first["status"], first["step"], first["data_step"], first["reason"]) == ("failed", 4, 6, KILLED)
    assert second["status"] is None
    heads = [f"2026-01-01 00:0{rank}:00 rank {rank} on a gave no sign for 9 s: {rank + 1}" for rank in (0, 1)]
    (tmp_path / HANG).write_text("\nstack\n".join(heads) + "\n")
    open_attempt(tmp_path, TREE, 2)
    assert read_attempts(tmp_path)[1]["reason"] == "rank 1 on a gave no sign for 9 s: 2"
    long_ago = time.time() - 3600
    os.utime(tmp_path / HANG, (long_ago, long_ago))
    with pytest.raises(CrashLoop, match=r"steps 5 to 8 read the samples 48 to 79"):
        open_attempt(tmp_path, TREE, 3)
    assert read_attempts(tmp_path)[2]["reason"] == KILLED


def test_a_refused_start_leaves_no_trace_and_a_password_none_either(tmp_path: Path) -> None:
    fails(tmp_path, 3, 0, "OSError: https://me:canary@host/x is away\nsecond line")
    open_attempt(tmp_path, TREE, 1)
    withdraw_attempt(tmp_path)
    (only,) = read_attempts(tmp_path)
    assert only["reason"] == "OSError: https://host/x is away\u240asecond line"


def test_the_newest_are_kept(tmp_path: Path) -> None:
    for step in range(KEPT + 5):
        fails(tmp_path, 100 * step, 0)
    assert [attempt["step"] for attempt in read_attempts(tmp_path)][:: KEPT - 1] == [500, 100 * (KEPT + 4)]


@pytest.mark.parametrize(
    "torn", [b"", b'{"attempts": [{"sta', b"[]", b'{"attempts": [1]}', b'{"attempts": [{"step": 3}]}']
)
def test_a_damaged_diary_is_set_aside_and_blocks_no_run(
    tmp_path: Path, torn: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "attempts.json").write_bytes(torn)
    assert read_attempts(tmp_path) == []
    fails(tmp_path, 3, 1)
    assert [attempt["step"] for attempt in read_attempts(tmp_path)] == [3]
    assert (tmp_path / "attempts.json.damaged").read_bytes() == torn
    assert "attempts.json: can't be read, and is attempts.json.damaged now" in capsys.readouterr().err
