"""What a launcher starts, and what becomes of a signal meant for it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from foundation.errors import ConfigError
from launch.launchers import Inline, Launcher, TorchRun
from launch.sweep import trial_name


def test_a_process_group_of_the_size_asked_for(tmp_path: Path) -> None:
    command = TorchRun(processes=3).command(tmp_path, ["extra_targets=[mine.]"])
    assert "--nproc_per_node=3" in command
    assert command[-3:] == [f"--config-path={tmp_path}", "--config-name=config", "extra_targets=[mine.]"]
    assert Inline().command(tmp_path, [])[1].endswith("launch/train.py")


def test_no_processes() -> None:
    with pytest.raises(ConfigError, match=r"launcher\.processes: 0"):
        TorchRun(processes=0)


class Script(Launcher):
    in_process = False

    def __init__(self, script: str) -> None:
        self.script = script

    def command(self, config_dir: Path, arguments: list[str]) -> list[str]:
        return [sys.executable, "-c", self.script]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_is_handed_on_and_the_child_may_finish(tmp_path: Path, number: signal.Signals) -> None:
    script = f"""
import pathlib, signal, sys, time

def save(*_):
    time.sleep(0.3)
    pathlib.Path({str(tmp_path / "saved")!r}).touch()
    sys.exit(5)

signal.signal(signal.SIGTERM, save)
pathlib.Path({str(tmp_path / "ready")!r}).touch()
time.sleep(60)
"""

    def stop() -> None:
        while not (tmp_path / "ready").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    threading.Thread(target=stop).start()
    before = signal.getsignal(number)
    assert Script(script).run(tmp_path, []) == 5
    assert (tmp_path / "saved").exists()
    assert signal.getsignal(number) is before


def test_a_trial_is_named_by_what_it_overrides() -> None:
    name = trial_name(["++optim.lr=0.001", "model=gpt_tiny"], {"a": 1})
    assert name.startswith("model_gpt_tiny_optim.lr_0.001-") or name.startswith("optim.lr_0.001_model_gpt_tiny-")
    assert trial_name(["x=../../etc"], {})[:-9] == "x_.._.._etc"
    assert trial_name(["x=1"], {"a": 1}) != trial_name(["x=1"], {"a": 2})
    assert len(trial_name(["x=" + "y" * 500], {})) <= 129
