"""The lines that users type, typed: torchrun launch/train.py and its kin, in processes of their own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pretrain.checkpoint.reading import open_checkpoint
from pretrain.metrics.lines import read_metrics

TRAIN = Path(__file__).parents[2] / "launch" / "train.py"
BIN = Path(sys.executable).parent

pytestmark = pytest.mark.slow


class Terminal:
    """Types commands in a folder and keeps what they print."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment | {"PATH": f"{BIN}:{os.environ['PATH']}"}

    def command(self, *arguments: str, ranks: int | None = 1) -> list[str]:
        if ranks is None:
            return [sys.executable, str(TRAIN), *arguments]
        many = ["--standalone", f"--nproc_per_node={ranks}"] if ranks > 1 else []
        return [str(BIN / "torchrun"), *many, str(TRAIN), *arguments]

    def type(self, *arguments: str, ranks: int | None = 1, code: int = 0) -> str:
        command = self.command(*arguments, ranks=ranks)
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=240
        )
        text = done.stdout + done.stderr
        assert done.returncode == code, text
        return text

    def start(self, *arguments: str, ranks: int | None = 1) -> subprocess.Popen[str]:
        command = self.command(*arguments, ranks=ranks)
        return subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def terminal(tmp_path: Path, one_thread: dict[str, str]) -> Terminal:
    return Terminal(tmp_path, one_thread)


def lines(run_dir: Path) -> list[dict[str, Any]]:
    return list(read_metrics(run_dir / "metrics.jsonl"))


def deterministic(run_dir: Path) -> list[dict[str, Any]]:
    """The lines without what a clock says."""
    return [
        {key: value for key, value in line.items() if key not in ("tokens_per_s", "step_time_s")}
        for line in lines(run_dir)
    ]


def same_tensors(one: Path, other: Path) -> None:
    """Every tensor of two checkpoints has the same bytes: they are stored as such, so their files are equal."""
    for folder in (one, other):
        open_checkpoint(folder)
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in other.iterdir())
    data = [name for name in names if name.endswith(".bin")]
    assert data
    for name in data:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def wait_for_step(run_dir: Path, step: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if (run_dir / "metrics.jsonl").exists() and lines(run_dir) and lines(run_dir)[-1]["step"] >= step:
            return
        time.sleep(0.02)
    raise AssertionError(f"no step {step} in {run_dir}")


def test_without_shards_the_error_names_the_command_that_makes_them(terminal: Terminal) -> None:
    text = terminal.type("model=gpt_small", code=1)
    assert "error: data.path: data/pydocs is no folder; make its shards with `python -m data_pipeline`" in text


def test_the_plain_line_takes_the_default_data(terminal: Terminal, data_dir: Path, tiny: list[str]) -> None:
    terminal.folder = data_dir.parents[1]
    text = terminal.type("model=gpt_small", *tiny[:-1], "trainer.max_steps=3", f"runs_dir={terminal.folder}/plain")
    assert "finished at step 3" in text
    line = lines(terminal.folder / "plain/gpt_small")[-1]
    needed = {"step", "loss", "lr", "grad_norm", "tokens_seen", "tokens_per_s", "step_time_s", "val_loss"}
    assert needed <= set(line)
    assert line["tokens_seen"] == 3 * 8 * 32


def test_a_stop_and_the_same_line_again_give_the_bits_of_a_straight_run(terminal: Terminal, tiny: list[str]) -> None:
    run = [*tiny, "trainer.max_steps=40", "eval.every_steps=7", "checkpoint.every_steps=50", "model.dropout=0.1"]
    terminal.type(*run, "run_name=straight")
    child = terminal.start(*run, "run_name=stopped")
    wait_for_step(terminal.folder / "runs/stopped", 10)
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=60)
    status = json.loads((terminal.folder / "runs/stopped/status.json").read_text())
    assert status["status"] == "preempted"
    assert 10 <= status["step"] < 40
    text = terminal.type(*run, "run_name=stopped")
    assert f"from step {status['step']} of 40" in text
    runs = terminal.folder / "runs"
    same_tensors(runs / "straight/checkpoints/step_00000040", runs / "stopped/checkpoints/step_00000040")
    assert deterministic(runs / "straight") == deterministic(runs / "stopped")
    assert "finished at step 40 already" in terminal.type(*run, "run_name=stopped")


def test_kills_and_the_same_line_again_give_the_bits_of_a_straight_run(terminal: Terminal, tiny: list[str]) -> None:
    run = [*tiny, "trainer.max_steps=40", "eval.every_steps=10", "checkpoint.every_steps=10"]
    terminal.type(*run, "run_name=straight", ranks=2)
    for step in (12, 25):
        child = terminal.start(*run, "run_name=killed", ranks=2)
        wait_for_step(terminal.folder / "runs/killed", step)
        workers = subprocess.run(["pgrep", "-P", str(child.pid)], capture_output=True, text=True).stdout.split()
        for pid in [*workers, str(child.pid)]:
            os.kill(int(pid), signal.SIGKILL)
        child.communicate(timeout=60)
        time.sleep(0.5)
    terminal.type(*run, "run_name=killed", ranks=2)
    runs = terminal.folder / "runs"
    same_tensors(runs / "straight/checkpoints/step_00000040", runs / "killed/checkpoints/step_00000040")
    assert deterministic(runs / "straight") == deterministic(runs / "killed")


def test_one_and_two_processes_have_the_same_losses(terminal: Terminal, tiny: list[str]) -> None:
    run = [*tiny, "trainer.max_steps=20", "data.mask_after_eot=true"]
    terminal.type(*run, "run_name=one", ranks=1)
    terminal.type(*run, "run_name=two", ranks=2)
    one, two = (lines(terminal.folder / "runs" / name) for name in ("one", "two"))
    assert len(one) == len(two) == 20
    for a, b in zip(one, two, strict=True):
        assert b["loss"] == pytest.approx(a["loss"], rel=1e-5)
        assert b["grad_norm"] == pytest.approx(a["grad_norm"], rel=1e-4)
        assert a["tokens_seen"] == b["tokens_seen"] <= a["step"] * 8 * 32
    assert one[-1]["val_loss"] == pytest.approx(two[-1]["val_loss"], rel=1e-5)


def test_another_number_of_ranks_goes_on_with_the_same_samples(terminal: Terminal, tiny: list[str]) -> None:
    run = [*tiny, "trainer.max_steps=12", "checkpoint.every_steps=6"]
    terminal.type(*run, "run_name=straight")
    terminal.type(*run, "run_name=moved", "trainer.max_steps=12")
    for name in ("config.yaml", "metrics.jsonl", "status.json"):
        assert (terminal.folder / "runs/moved" / name).exists()
    # back to step 6, on two ranks
    text = terminal.type(
        *run, "run_name=elsewhere", f"resume={terminal.folder}/runs/moved/checkpoints/step_00000006", ranks=2
    )
    assert "from step 6 of 12" in text
    straight, elsewhere = (lines(terminal.folder / "runs" / name) for name in ("straight", "elsewhere"))
    for a, b in zip(straight[6:], [line for line in elsewhere if line["step"] > 6], strict=True):
        assert (a["step"], a["data_step"], a["tokens_seen"]) == (b["step"], b["data_step"], b["tokens_seen"])
        assert b["loss"] == pytest.approx(a["loss"], rel=1e-6 if a["step"] == 7 else 1e-5)


def test_a_sweep_gives_each_trial_a_child_and_a_folder(terminal: Terminal, tiny: list[str]) -> None:
    sweep = ["-m", "model=gpt_tiny", *tiny, "trainer.max_steps=2", "optim.lr=1e-3,3e-4"]
    text = terminal.type(*sweep, ranks=None)
    folders = sorted((terminal.folder / "runs/gpt_tiny").iterdir())
    assert [re.sub("[0-9a-f]{8}$", "", folder.name) for folder in folders] == ["optim.lr_0.0003-", "optim.lr_0.001-"]
    assert all(json.loads((folder / "status.json").read_text())["status"] == "finished" for folder in folders)
    assert {lines(folder)[0]["lr"] for folder in folders} != {lines(folders[0])[0]["lr"]}
    assert "sweep: 2 trials" in text
    assert sorted(path.name for path in terminal.folder.iterdir()) == ["runs"]
    again = terminal.type(*sweep, ranks=None)
    assert again.count("finished at step 2 already") == 2


def test_a_sweep_of_process_groups(terminal: Terminal, tiny: list[str]) -> None:
    arguments = [
        "-m",
        *tiny,
        "run_name=s",
        "trainer.max_steps=2",
        "seed=1,2",
        "launcher=torchrun",
        "launcher.processes=2",
    ]
    text = terminal.type(*arguments, ranks=None)
    assert text.count("on 2 x cpu") == 2
    assert len(list((terminal.folder / "runs/s").glob("*/checkpoints/step_00000002/rank_00001.bin"))) == 2


def test_a_launcher_starts_the_ranks_of_a_single_run(terminal: Terminal, tiny: list[str]) -> None:
    arguments = [
        *tiny,
        "run_name=x",
        "trainer.max_steps=2",
        "launcher=torchrun",
        "launcher.processes=2",
        "resume=never",
    ]
    assert "on 2 x cpu" in terminal.type(*arguments, ranks=None)
    terminal.type(*arguments, ranks=None)
    assert sorted(path.name for path in (terminal.folder / "runs").iterdir()) == ["x", "x.1"]


def test_a_sweep_under_torchrun_is_refused_with_the_command_to_type(terminal: Terminal, tiny: list[str]) -> None:
    text = terminal.type("-m", *tiny, "optim.lr=1e-3,3e-4", ranks=2, code=1)
    assert "python launch/train.py -m ... launcher=torchrun launcher.processes=<ranks>" in text


def test_a_run_is_typed_again_from_its_own_config(terminal: Terminal, tiny: list[str]) -> None:
    terminal.type(*tiny, "run_name=x", "trainer.max_steps=3")
    terminal.type("--config-path", "runs/x", "--config-name", "config", "run_name=y")
    assert deterministic(terminal.folder / "runs/x") == deterministic(terminal.folder / "runs/y")


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("trainer.grad_accum_steps=4", ["trainer.grad_accum_steps", "global_batch_size", "micro_batch_size"]),
        ("trainer.global_batch_size=7", ["trainer.global_batch_size: 7", "2 x 1 = 2", "6, 8"]),
        ("model.num_heads=3", ["model.num_heads: 3 does not divide model.d_model 32"]),
        ("trainer.seq_len=65", ["65 tokens are more than model.context_len=64"]),
        ("optim.lrr=1", ["optim.lrr: unknown key", "did you mean 'lr'"]),
        ("optim.lr=fast", ["optim.lr: 'fast'", "a number"]),
        ("modle=gpt_small", ["modle: unknown key", "did you mean 'model'"]),
        ("model=gpt_smal", ["model: 'gpt_smal' is no option", "did you mean 'gpt_small'"]),
        ("schedule.warmup_steps=100", ["schedule.warmup_steps", "100"]),
        ("trainer.seq_len=010", ["trainer.seq_len", "010"]),
        ("spike._target_=os.system", ["spike._target_", "os.system"]),
    ],
)
def test_a_mistake_is_answered_with_what_to_do(
    terminal: Terminal, tiny: list[str], override: str, parts: list[str]
) -> None:
    arguments = [*tiny, "trainer.max_steps=2", override] if not override.startswith("model=") else [override]
    text = terminal.type(*arguments, ranks=None, code=2)
    for part in parts:
        assert part in text
    assert "Traceback" not in text
    assert not (terminal.folder / "runs").exists()
