"""Kills are seeded, come at what the files tell of this start, and leave no process."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from launch.verify.kills import EVALUATION, SAVE, STEP, Files, Moment, descendants, kill_all, moments
from pretrain.metrics.lines import MetricsFile


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("kills", range(1, 6))
def test_moments_are_a_function_of_the_seed_in_the_order_of_their_steps(seed: int, kills: int) -> None:
    found = moments(kills, steps=16, save_every=4, eval_every=6, seed=seed)
    assert found == moments(kills, steps=16, save_every=4, eval_every=6, seed=seed)
    assert len(found) == kills and [moment.step for moment in found] == sorted(moment.step for moment in found)
    assert all(1 <= moment.step <= 13 and 0 <= moment.wait_frac < 1 for moment in found)
    assert {moment.kind for moment in found} == {STEP, SAVE, EVALUATION} or kills < 3
    assert all(moment.step in {SAVE: (4, 8, 12), EVALUATION: (6, 12)}.get(moment.kind, range(14)) for moment in found)


def test_seeds_differ() -> None:
    assert len({str(moments(3, 16, 4, 6, seed)) for seed in range(20)}) > 10


def test_what_an_earlier_start_left_is_not_looked_at(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    (folder / ".step_00000008.saving").mkdir(parents=True)
    metrics = MetricsFile(tmp_path)
    for step in range(1, 8):
        metrics.append({"step": step})
    metrics.close()
    files = Files(tmp_path)
    at = [Moment(STEP, 5, 0), Moment(EVALUATION, 6, 0), Moment(SAVE, 8, 0)]
    assert files.last_step() == 0 and not any(files.has_come(moment) for moment in at)
    metrics.drop_after(4)  # as a start does that goes on from step 4
    assert files.last_step() == 4 and not any(files.has_come(moment) for moment in at)
    metrics.append({"step": 5})
    assert [files.has_come(moment) for moment in at] == [True, True, False]
    (folder / ".step_00000008.saving").rename(folder / ".step_00000007.removed")
    (folder / ".step_00000008.saving").mkdir()
    assert files.has_come(at[2])
    assert files.told().startswith("after the line of step 5, amid the save .step_00000008.saving, 0 ")
    (folder / "step_00000009").mkdir()
    assert files.has_come(Moment(SAVE, 9, 0))  # so short a save that no look met it
    files.close()
    again = Files(tmp_path)
    assert not again.has_come(Moment(SAVE, 9, 0))
    again.close()


TREE = """
import subprocess, sys, time
depth = int(sys.argv[1])
if depth:
    subprocess.Popen([sys.executable, "-c", sys.argv[2], str(depth - 1), sys.argv[2]], start_new_session=True)
time.sleep(600)
"""


def test_all_of_a_tree_is_killed_sessions_of_their_own_included() -> None:
    root = subprocess.Popen([sys.executable, "-c", TREE, "2", TREE])
    try:
        until_s = time.monotonic() + 60
        while len(descendants(root.pid)) < 2:
            assert time.monotonic() < until_s
            time.sleep(0.05)
        below = descendants(root.pid)
        kill_all(root.pid, below[:1])  # one of them is found only now
        assert root.wait(60) == -9
        while any(_is_alive(pid) for pid in below):
            assert time.monotonic() < until_s
            time.sleep(0.05)
    finally:
        kill_all(root.pid, [])


def _is_alive(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")
