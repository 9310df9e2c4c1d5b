"""What is told of a run that its launcher may start again, from the files that its starts write."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pretrain.attempts import CrashLoop, close_attempt, open_attempt, withdraw_attempt
from pretrain.json_lines import JsonLines
from pretrain.metrics.alert_child.restart import Restart
from pretrain.metrics.alerts.events import Event, ended, may_be_started_again
from pretrain.run_files import CRASH_LOOP, FINAL, LEDGER, read_status
from pretrain.run_folder import write_status
from pretrain.types import Status

TREE: dict[str, Any] = {"trainer": {"global_batch_size": 8}}
SILENT = "the run was not started again for 0 s"
DOWN = "it is down; the same line goes on from the newest checkpoint, if there is one"


def trains(run_dir: Path) -> None:
    JsonLines(run_dir / LEDGER).append({"event": "train", "at_s": time.time()})


def fails(run_dir: Path, step: int, reason: str) -> None:
    close_attempt(run_dir, Status.FAILED, reason, step, step)


@pytest.fixture
def restart(run_dir: Path) -> Restart:
    """Of a start that begins to train, and fails."""
    open_attempt(run_dir, TREE, 0)
    it = Restart(run_dir, wait_s=0.1, look_s=0.01)
    trains(run_dir)
    fails(run_dir, 7, "ValueError: no")
    write_status(run_dir, Status.FAILED, "ValueError: no", 7)
    return it


def told(events: Any) -> list[tuple[str, str]]:
    found: list[Event] = list(events)
    assert all(event.kind == "stop" for event in found)
    return [(event.what, event.then) for event in found]


def test_a_run_that_nobody_starts_again_is_told(restart: Restart) -> None:
    assert told(restart.events()) == [(SILENT, DOWN)]


def test_of_a_next_start_that_trains_its_own_process_tells(restart: Restart, run_dir: Path) -> None:
    open_attempt(run_dir, TREE, 1)
    trains(run_dir)
    fails(run_dir, 9, "RuntimeError: later")
    assert told(restart.events()) == []


def test_next_starts_that_die_before_they_train_are_told_once_each(restart: Restart, run_dir: Path) -> None:
    open_attempt(run_dir, TREE, 1)
    fails(run_dir, 0, "OutOfMemoryError: in the restore")
    events = restart.events()
    first = next(events)
    assert first.what == "failed after step 0: OutOfMemoryError: in the restore"
    assert first.then.startswith("its launcher may start it again")
    open_attempt(run_dir, TREE, 2)
    fails(run_dir, 3, "the look at it failed")
    assert next(events).what == "failed after step 3: the look at it failed"
    assert told(events) == [(SILENT, DOWN)]


def test_a_next_start_that_is_killed_before_it_trains_is_told(restart: Restart, run_dir: Path) -> None:
    open_attempt(run_dir, TREE, 1)
    assert told(restart.events()) == [("the run was started again, and has not begun to train for 0 s", DOWN)]


def test_a_next_start_that_is_refused_is_told(restart: Restart, run_dir: Path) -> None:
    open_attempt(run_dir, TREE, 1)
    withdraw_attempt(run_dir)
    ((what, then),) = told(restart.events())
    assert "that start was refused before it trained" in what and then == DOWN


def test_each_start_is_given_its_time(run_dir: Path) -> None:
    open_attempt(run_dir, TREE, 0)
    it, found = Restart(run_dir, wait_s=60.0, look_s=0.01), list[Event]()
    fails(run_dir, 7, "ValueError: no")
    looks = threading.Thread(target=lambda: found.extend(it.events()), daemon=True)
    looks.start()
    open_attempt(run_dir, TREE, 1)
    looks.join(0.1)
    assert looks.is_alive()  # it restores a checkpoint
    trains(run_dir)
    looks.join(30.0)
    assert not looks.is_alive() and not found


def test_a_crash_loop_is_told(restart: Restart, run_dir: Path) -> None:
    for restarts in (1, 2):
        open_attempt(run_dir, TREE, restarts)
        fails(run_dir, 7, "ValueError: no")
    with pytest.raises(CrashLoop) as refused:
        open_attempt(run_dir, TREE, 3)
    write_status(run_dir, Status.FAILED, str(refused.value), 7, CRASH_LOOP)
    ((what, then),) = told(restart.events())
    assert "3 tries in a row failed" in what and then == "nobody starts it again"


def test_nobody_waits_for_a_start_after_an_error_that_ends_each(restart: Restart, run_dir: Path) -> None:
    write_status(run_dir, Status.FAILED, "the disk is full", 7, FINAL)
    then = ended(read_status(run_dir), None, True, run_dir).then
    assert then == "it is down, and another start would end the same way until that is mended"
    assert told(restart.events()) == [("failed after step 7: the disk is full", then)]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"status": "failed"}, True),
        ({"status": "killed"}, True),
        ({"status": "failed", FINAL: True}, False),
        ({"status": "failed", CRASH_LOOP: True}, False),
        ({"status": "finished"}, False),
        ({"status": "stopped"}, False),
        ({"status": "preempted"}, False),
    ],
)
def test_a_next_start_helps_where_an_end_may_not_come_again(status: dict[str, Any], expected: bool) -> None:
    assert may_be_started_again(status) is expected
