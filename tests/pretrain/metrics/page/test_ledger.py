from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pretrain.metrics.lines import MetricsFile
from pretrain.metrics.page import ledger as parts
from pretrain.metrics.page.history import read_history
from pretrain.metrics.page.ledger import Ledger, read_ledger
from pretrain.run_files import LEDGER
from tests.lines import Lines

TRAIN = Path(__file__).parents[4] / "launch/train.py"
T = 1_000_000.0
# of 2 s
STEP_S = {"data_s": 0.1875, "counts_s": 0.0625, "forward_backward_s": 1.0, "watch_s": 0.125, "optimizer_s": 0.5}
STEP_S["other_s"] = 0.125


def ledger_of(folder: Path) -> Ledger:
    found = read_ledger(folder, read_history(folder / "metrics.jsonl"))
    assert found is not None
    return found


@pytest.fixture
def write(tmp_path: Path, make_line: Callable[..., dict[str, Any]]) -> Callable[..., Ledger]:
    """Write a run's files and return its ledger: steps as (step, finished_s, fields), times after T."""

    def write(events: list[dict[str, Any]], kept: list[Any], dropped: list[Any]) -> Ledger:
        told = [event | {"at_s": T + event["at_s"]} for event in events]
        (tmp_path / LEDGER).write_text("".join(json.dumps(event) + "\n" for event in told))
        for name, steps in (("metrics.jsonl", kept), ("metrics.dropped.jsonl", dropped)):
            lines = [
                make_line(step, finished_s=T + finished_s, **({"step_time_s": 2.0, "times": STEP_S} | fields))
                for step, finished_s, fields in steps
            ]
            (tmp_path / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
        return ledger_of(tmp_path)

    return write


def test_every_second_has_its_part_over_a_kill_a_rewind_and_a_stop(write: Callable[..., Ledger]) -> None:
    slow = {"step_time_s": 7.0, "times": STEP_S | {"forward_backward_s": 6.0}}
    events = [
        {"event": "start", "at_s": 0.0},
        {"event": "train", "at_s": 10.0},
        # steps 1 to 4, the first of 7 s, until 23; step 2 is skipped
        {"event": "pause", "what": "checkpoint", "took_s": 3.0, "at_s": 26.0},
        # steps 5 to 6 until 30, then killed: their lines are dropped by the next start
        {"event": "start", "at_s": 40.0},
        {"event": "resume", "at_step": 4, "at_s": 43.0},
        {"event": "pause", "what": "evaluation", "took_s": 1.5, "at_s": 44.5},
        {"event": "train", "at_s": 45.0},
        # steps 5 to 7 until 51; the guard goes back to step 6
        {"event": "pause", "what": "other", "took_s": 1.0, "at_s": 52.0},
        {"event": "resume", "at_step": 6, "at_s": 52.0},
        # step 7 anew until 54
        {"event": "end", "status": "preempted", "at_s": 54.5},
        {"event": "start", "at_s": 154.5},
        {"event": "train", "at_s": 155.0},
        # step 8 until 157
    ]
    kept = [(1, 17.0, slow), (2, 19.0, {"skipped": True}), (3, 21.0, {}), (4, 23.0, {})]
    kept += [(5, 47.0, {}), (6, 49.0, {}), (7, 54.0, {}), (8, 157.0, {})]
    dropped = [(5, 28.0, {}), (6, 30.0, {}), (7, 51.0, {})]
    found = write(events, kept, dropped)
    expected = {
        parts.COMPUTE: 7 * 1.5,  # the first step's five more seconds are start-up's
        parts.DATA: 7 * 0.1875,
        parts.COUNTS: 7 * 0.0625,
        parts.WATCH: 7 * 0.125,
        "checkpoint": 3.0,
        "evaluation": 1.5,
        parts.START_UP: 10 + 5 + (5 - 1.5) + 0.5,
        parts.SKIPPED: 2.0,
        parts.REDONE: 4.0,
        parts.REWOUND: 2.0,
        parts.DOWN: 10.0,
        parts.STOPPED: 100.0,
    }
    for part, seconds in expected.items():
        assert found.seconds[part] == pytest.approx(seconds), part
    assert sum(found.seconds.values()) == pytest.approx(found.wall_s) and found.wall_s == pytest.approx(157.0)
    assert found.seconds[parts.OTHER] == pytest.approx(7 * 0.125 + 1.0 + 0.5)
    assert found.unexplained_s == pytest.approx(0.5)
    assert (found.num_starts, found.num_failures) == (3, 1)
    assert found.goodput == pytest.approx(10.5 / 57)


def test_a_line_that_a_crash_left_in_both_files_counts_once(write: Callable[..., Ledger]) -> None:
    events = [{"event": "start", "at_s": 0.0}, {"event": "train", "at_s": 0.0}]
    found = write(events, [(1, 2.0, {}), (2, 4.0, {})], [(2, 4.0, {})])
    assert found.seconds[parts.REDONE] == 0 and found.seconds[parts.COMPUTE] == pytest.approx(3.0)


def test_a_start_that_was_refused_is_none(write: Callable[..., Ledger]) -> None:
    events = [
        *({"event": "start", "at_s": 0.0}, {"event": "train", "at_s": 0.0}),
        {"event": "end", "status": "preempted", "at_s": 4.0},
        *({"event": "start", "at_s": 50.0}, {"event": "resume", "at_step": 2, "at_s": 51.0}),
        *({"event": "end", "status": "failed", "at_s": 52.0}, {"event": "withdrawn", "at_s": 52.5}),
        *({"event": "start", "at_s": 104.0}, {"event": "train", "at_s": 104.0}),
    ]
    found = write(events, [(1, 2.0, {}), (2, 4.0, {}), (3, 106.0, {})], [])
    assert (found.num_starts, found.num_failures) == (2, 0)
    assert found.seconds[parts.STOPPED] == pytest.approx(100.0) and found.seconds[parts.DOWN] == 0


@pytest.mark.parametrize("status", ["failed", "stopped"])
def test_the_only_start_that_failed_before_its_first_step_is_lost_to_starting(
    write: Callable[..., Ledger], status: str
) -> None:
    events = [
        {"event": "start", "at_s": 0.0},
        {"event": "pause", "what": "other", "took_s": 2.0, "at_s": 9.0},
        {"event": "end", "status": status, "at_s": 30.0},
    ]
    found = write(events, [], [])
    assert (found.num_starts, found.num_failures, found.goodput) == (1, 1, 0.0)
    assert (found.wall_s, found.unexplained_s) == (30.0, 0.0)
    assert {part: seconds for part, seconds in found.seconds.items() if seconds} == {
        parts.START_UP: 28.0,
        parts.OTHER: 2.0,
    }


def test_a_start_whose_first_step_never_ended_is_lost_to_starting_and_what_follows_is_down(
    write: Callable[..., Ledger],
) -> None:
    events = [
        *({"event": "start", "at_s": 0.0}, {"event": "train", "at_s": 8.0}),
        {"event": "end", "status": "failed", "at_s": 20.0},
        *({"event": "start", "at_s": 50.0}, {"event": "train", "at_s": 50.0}),
        {"event": "end", "status": "finished", "at_s": 54.0},
    ]
    found = write(events, [(1, 52.0, {}), (2, 54.0, {})], [])
    assert (found.num_starts, found.num_failures, found.unexplained_s) == (2, 1, 0.0)
    assert (found.seconds[parts.START_UP], found.seconds[parts.DOWN], found.seconds[parts.STOPPED]) == (20.0, 30.0, 0.0)
    assert found.goodput == pytest.approx(3.0 / 54)


def test_what_a_run_lies_idle_after_its_guard_stopped_it_counts_against_it(write: Callable[..., Ledger]) -> None:
    events = [
        *({"event": "start", "at_s": 0.0}, {"event": "train", "at_s": 0.0}),
        {"event": "end", "status": "stopped", "at_s": 2.0},
        *({"event": "start", "at_s": 102.0}, {"event": "train", "at_s": 102.0}),
    ]
    found = write(events, [(1, 2.0, {}), (2, 104.0, {})], [])
    assert (found.seconds[parts.DOWN], found.seconds[parts.STOPPED]) == (100.0, 0.0)
    assert found.num_failures == 1 and found.goodput == pytest.approx(3.0 / 104)


def test_a_run_without_the_file_has_no_ledger(tmp_path: Path, make_line: Callable[..., dict[str, Any]]) -> None:
    file = MetricsFile(tmp_path)
    file.append(make_line(1))
    file.close()
    assert read_ledger(tmp_path, read_history(tmp_path / "metrics.jsonl")) is None


@pytest.mark.slow
def test_the_parts_of_a_run_that_was_killed_sum_to_the_time_on_the_wall(
    typed: Lines, one_thread: dict[str, str], tiny: list[str], tmp_path: Path
) -> None:
    """Killed at step 8 or later, saved every 5: the steps after the save are done twice, the dead time is down."""
    line = [*tiny, "run_name=x", "checkpoint.every_steps=5", "trainer.max_steps=14", "eval.every_steps=7"]
    metrics, began_s = tmp_path / "runs/x/metrics.jsonl", time.time()
    first = typed.start(TRAIN, line, tmp_path, one_thread, before=SLEEPS)
    while not metrics.exists() or metrics.read_text().count("\n") < 8:
        time.sleep(0.01)
        assert time.time() < began_s + 120
    pid = first.ranks[0].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    killed_s = time.time()
    first.ranks[0].join()
    time.sleep(2.0)
    second = typed.start(TRAIN, line, tmp_path, one_thread, before=SLEEPS)
    code, output = second.wait()
    assert code == 0, output
    found = ledger_of(tmp_path / "runs/x")
    events = [json.loads(text) for text in (tmp_path / "runs/x" / LEDGER).read_text().splitlines()]
    started_s, restarted_s = (event["at_s"] for event in events if event["event"] == "start")
    ended_s = (tmp_path / "runs/x" / LEDGER).stat().st_mtime
    assert found.wall_s == pytest.approx(ended_s - started_s, abs=0.1)
    assert sum(found.seconds.values()) == pytest.approx(found.wall_s)
    assert (found.num_starts, found.num_failures) == (2, 1)
    # steps take 0.1 s and more; those behind the newest checkpoint had lines, a few had none yet
    assert found.seconds[parts.REDONE] >= 0.1 and found.seconds[parts.REWOUND] == 0
    assert found.seconds[parts.COMPUTE] >= 14 * 0.1
    hidden_s = found.seconds[parts.DOWN] - (restarted_s - killed_s)
    step_s = max(line["step_time_s"] for line in map(json.loads, metrics.read_text().splitlines()))
    assert -0.1 <= hidden_s <= parts.UNSEEN_STEPS * step_s + 0.5
    assert found.seconds["checkpoint"] > 0 and found.seconds["evaluation"] > 0
    assert abs(found.unexplained_s) < 0.05 * found.wall_s + 0.3


SLEEPS = """
import time, pretrain.train as loop
real = loop.clip_scale
loop.clip_scale = lambda *given: time.sleep(0.1) or real(*given)
"""
