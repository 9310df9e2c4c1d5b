"""A sweep's trials: their folders' names, and what a stop leaves for later."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from launch.sweep import Sweep, trial_name
from pretrain.metrics.lines import read_metrics
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


def trial(folder: Path, loss: float, val_loss: float | str | None, ended: str = "finished") -> str:
    """Return a child's script that ends a run with these losses."""
    lines = [{"step": 1, "loss": 9.0}, {"step": 2, "loss": loss} | ({"val_loss": val_loss} if val_loss else {})]
    return f"""
import json
from pathlib import Path
(folder := Path({str(folder)!r})).mkdir(parents=True, exist_ok=True)
(folder / "metrics.jsonl").write_text("".join(json.dumps(line) + chr(10) for line in {lines!r}))
(folder / "status.json").write_text(json.dumps({{"status": {ended!r}, "reason": "", "step": 2}}))
"""


def folder_of(tree: dict[str, Any], seed: int) -> Path:
    return Path(tree["runs_dir"], tree["run_name"], trial_name([f"seed={seed}"], tree | {"seed": seed}))


def test_the_summary_says_what_each_trial_came_to_and_which_is_best(tmp_path: Path) -> None:
    tree = {"runs_dir": str(tmp_path), "run_name": "s"}
    sweep = Sweep([], [])
    scripts = [
        trial(folder_of(tree, 0), 9.0, "NaN"),  # it diverged
        trial(folder_of(tree, 1), 2.0, 2.0, "preempted"),
        trial(folder_of(tree, 2), 3.0, 3.5),
        trial(folder_of(tree, 3), 2.0, 3.25),
        trial(folder_of(tree, 4), 2.5, None),
        "raise SystemExit(2)",
    ]
    for seed, script in enumerate(scripts):
        sweep.run_trial(tree | {"seed": seed}, Script(script), [f"seed={seed}"])
    said = [line.partition(": ")[2] for line in sweep.summary().splitlines()[1:]]
    assert said == [
        "finished, loss 9.0000, val_loss nan",
        "preempted, loss 2.0000, val_loss 2.0000",
        "finished, loss 3.0000, val_loss 3.5000",
        "finished, loss 2.0000, val_loss 3.2500, the lowest",
        "finished, loss 2.5000",
        "exit 2",
    ]


@pytest.mark.parametrize(("val_loss", "said"), [(None, ""), ("NaN", ", val_loss nan")])
def test_a_sweep_that_measured_no_held_out_loss_has_its_table_too(
    tmp_path: Path, val_loss: str | None, said: str
) -> None:
    tree = {"runs_dir": str(tmp_path), "run_name": "s"}
    sweep = Sweep([], [])
    for seed in range(2):
        script = trial(folder_of(tree, seed), 2.0, val_loss)
        sweep.run_trial(tree | {"seed": seed}, Script(script), [f"seed={seed}"])
    lines = sweep.summary().splitlines()[1:]
    assert [line.partition(": ")[2] for line in lines] == [f"finished, loss 2.0000{said}"] * 2


def test_a_trial_is_named_by_what_it_overrides() -> None:
    name = trial_name(["++optim.lr=0.001", "model=gpt_tiny"], {"a": 1})
    assert name[:-8] == "optim.lr_0.001_model_gpt_tiny-"
    assert name == trial_name(["model=gpt_tiny", "++optim.lr=0.001"], {"a": 1})  # in any order the same trial
    assert trial_name(["x=../../etc"], {})[:-9] == "x_.._.._etc"
    assert trial_name(["x=1"], {"a": 1}) != trial_name(["x=1"], {"a": 2})
    assert len(trial_name(["x=" + "y" * 500], {})) <= 129


@pytest.mark.slow
def test_a_sweep_gives_each_trial_a_child_and_a_folder(terminal: Any, tiny: list[str]) -> None:
    gone = "runs/gone/checkpoints/step_00000001"  # found missing by the trial itself, when it begins
    sweep = ["-m", "model=gpt_tiny", *tiny, "trainer.max_steps=2", f"resume={gone},auto"]
    text = terminal.type(*sweep, code=2)  # the worst of its trials', not the last
    folders = sorted((terminal.folder / "runs/gpt_tiny").iterdir())
    names = [re.sub("[0-9a-f]{8}$", "", folder.name) for folder in folders]
    assert names == ["resume_auto-", "resume_runs_gone_checkpoints_step_00000001-"]
    assert re.search(r"sweep: 2 trials\n  .*/resume_runs_gone\w+-\w+: exit 2\n  .*/resume_auto-\w+: finished", text)
    assert list(read_metrics(folders[0] / "metrics.jsonl"))[-1]["step"] == 2
    assert sorted(path.name for path in terminal.folder.iterdir()) == ["runs"]
    assert terminal.type(*sweep, code=2).count("finished at step 2 already") == 1


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ("optim.lr=1e-4,-3", ["optim.lr: -3", "so would end trial 1: optim.lr=-3; no trial was started"]),
        ("trainer.seq_len=32,65", ["65 tokens are more than model.context_len=64", "trial 1: trainer.seq_len=65;"]),
        ("trainer.micro_batch_size=2,3", ["trainer.global_batch_size: ", "trial 1: trainer.micro_batch_size=3;"]),
        ("data.path=nowhere,", ["data.path: nowhere is no folder", "trial 0: data.path=nowhere; no trial was started"]),
    ],
)
def test_a_value_of_a_later_trial_is_refused_before_the_first_one_starts(
    terminal: Any, tiny: list[str], values: str, words: list[str]
) -> None:
    key = values.partition("=")[0]
    common = [text for text in tiny if not text.startswith(f"{key}=")]
    if key == "data.path":
        values += next(text for text in tiny if text.startswith(key)).partition("=")[2]
    text = terminal.type("-m", *common, "trainer.max_steps=2", values, code=2)
    assert [word for word in words if word not in text] == [], text
    assert list(terminal.folder.iterdir()) == []


@pytest.mark.slow
def test_a_sweep_of_process_groups(terminal: Any, tiny: list[str]) -> None:
    groups = ["launcher=torchrun", "launcher.processes=2"]
    text = terminal.type("-m", *tiny, "run_name=s", "trainer.max_steps=2", "seed=1", *groups)
    assert text.count("on 2 x cpu") == 1
    assert len(list((terminal.folder / "runs/s").glob("*/checkpoints/step_00000002/rank_00001.bin"))) == 1


@pytest.mark.slow
def test_a_sweep_under_torchrun_is_refused_with_the_command_to_type(terminal: Any, tiny: list[str]) -> None:
    text = terminal.type("-m", *tiny, "optim.lr=1e-3,3e-4", ranks=2, code=2)
    assert "python launch/train.py -m ... launcher=torchrun launcher.processes=<ranks>" in text
