"""A sweep's trials: their folders' names, and what a stop leaves for later."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from launch.sweep import Sweep, trial_name
from pretrain.seats import Launcher


class Script(Launcher):
    in_process = False

    def __init__(self, script: str) -> None:
        self.script = script

    def prefix(self) -> list[str]:
        return [sys.executable, "-c", self.script]


def test_a_stop_ends_the_sweep_and_not_only_its_trial(tmp_path: Path) -> None:
    waits = f"""
import pathlib, time
pathlib.Path({str(tmp_path / "ready")!r}).touch()
time.sleep(60)
"""

    def stop() -> None:
        while not (tmp_path / "ready").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=stop).start()
    sweep = Sweep([], [])
    tree = {"runs_dir": str(tmp_path / "runs"), "run_name": "s"}
    sweep.run_trial(tree | {"seed": 1}, Script(waits), ["seed=1"])
    sweep.run_trial(tree | {"seed": 2}, Script("raise SystemExit(1)"), ["seed=2"])
    assert [path.name[:6] for path in (tmp_path / "runs/s").iterdir()] == ["seed_1"]
    assert sweep.summary().startswith("sweep: 1 trial, then stopped; the same line again goes on\n")


def test_a_trial_is_named_by_what_it_overrides() -> None:
    name = trial_name(["++optim.lr=0.001", "model=gpt_tiny"], {"a": 1})
    assert name[:-8] == "optim.lr_0.001_model_gpt_tiny-"
    assert name == trial_name(["model=gpt_tiny", "++optim.lr=0.001"], {"a": 1})  # in any order the same trial
    assert trial_name(["x=../../etc"], {})[:-9] == "x_.._.._etc"
    assert trial_name(["x=1"], {"a": 1}) != trial_name(["x=1"], {"a": 2})
    assert len(trial_name(["x=" + "y" * 500], {})) <= 129
