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
from launch.sweep import Sweep, trial_name
from pretrain.run_folder import write_status
from pretrain.types import Status


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


def wrote(folder: Path, status: str) -> str:
    """Return a child's script that ends a run like this."""
    return f"""
from pathlib import Path
from pretrain.run_folder import write_status
from pretrain.types import Status
write_status(Path({str(folder)!r}), Status({status!r}), "", 1)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "script", "code"),
    [
        ("finished", "", 0),  # it was over already
        ("preempted", "raise SystemExit(2)", 2),  # refused: the old status.json is not its own
        ("finished", "import os; os.kill(os.getpid(), 9)", 137),
        ("finished", "stopped", 3),
        ("failed", "preempted", 0),
    ],
)
def test_the_exit_code_is_what_this_childs_run_came_to(tmp_path: Path, before: str, script: str, code: int) -> None:
    write_status(tmp_path, Status(before), "", 1)
    script = wrote(tmp_path, script) if script.isalpha() else script
    assert Script(script).train(tmp_path, tmp_path, []) == code


def test_a_stop_ends_the_sweep_and_not_only_its_trial(tmp_path: Path) -> None:
    class Stopping(Script):
        def run(self, config_dir: Path, arguments: list[str]) -> int:
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
            return super().run(config_dir, arguments)

    sweep = Sweep([], [])
    tree = {"runs_dir": str(tmp_path), "run_name": "s"}
    sweep.run_trial(tree | {"seed": 1}, Stopping("import time; time.sleep(60)"), ["seed=1"])
    sweep.run_trial(tree | {"seed": 2}, Stopping("raise SystemExit(1)"), ["seed=2"])
    assert [path.name[:6] for path in (tmp_path / "s").iterdir()] == ["seed_1"]
    assert sweep.summary().startswith("sweep: 1 trials, then stopped; the same line again goes on\n")


def test_a_trial_is_named_by_what_it_overrides() -> None:
    name = trial_name(["++optim.lr=0.001", "model=gpt_tiny"], {"a": 1})
    assert name.startswith("model_gpt_tiny_optim.lr_0.001-") or name.startswith("optim.lr_0.001_model_gpt_tiny-")
    assert trial_name(["x=../../etc"], {})[:-9] == "x_.._.._etc"
    assert trial_name(["x=1"], {"a": 1}) != trial_name(["x=1"], {"a": 2})
    assert len(trial_name(["x=" + "y" * 500], {})) <= 129
