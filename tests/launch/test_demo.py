from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from foundation.files import folder_lock
from launch.demo import (
    MAX_STEPS,
    MIN_STEPS,
    choose_run_dir,
    fitted_to_machine,
    run,
    shown,
    steps_done,
    train_and_stop,
    trainer_pid,
)
from pretrain.run_folder import write_status
from pretrain.types import Status


def ended(folder: Path, status: Status | None) -> None:
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("seed: 1")
    if status is not None:
        write_status(folder, status, "as the test has it", 3)


@pytest.mark.parametrize("status", [Status.FINISHED, Status.STOPPED, Status.FAILED])
def test_a_demo_that_has_ended_is_kept(tmp_path: Path, status: Status) -> None:
    for name in ("demo", "demo_2", "demo_3"):
        assert choose_run_dir(tmp_path) == (tmp_path / name, True)
        ended(tmp_path / name, status)


@pytest.mark.parametrize("status", [Status.PREEMPTED, None])
def test_a_demo_that_was_stopped_or_killed_goes_on(tmp_path: Path, status: Status | None) -> None:
    ended(tmp_path / "demo", status)
    assert choose_run_dir(tmp_path) == (tmp_path / "demo", False)
    ended(tmp_path / "demo_2", Status.FINISHED)
    assert choose_run_dir(tmp_path) == (tmp_path / "demo_3", True)  # the newest has ended
    (tmp_path / "demo_3").mkdir()  # nothing to go on with
    assert choose_run_dir(tmp_path) == (tmp_path / "demo_4", True)


def test_a_ctrl_c_leaves_when_the_step_has_saved(tmp_path: Path) -> None:
    saving = """
import pathlib, signal, sys, time
def save(*_):
    time.sleep(0.6)
    pathlib.Path(sys.argv[1], "saved").touch()
    sys.exit(0)
signal.signal(signal.SIGINT, save)
pathlib.Path(sys.argv[1], "begun").touch()
time.sleep(60)
"""
    demo = f"from launch.demo import run; run('python', '-c', {saving!r}, {str(tmp_path)!r})"
    child = subprocess.Popen([sys.executable, "-c", demo], stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not (tmp_path / "begun").exists():
        time.sleep(0.05)
    os.killpg(child.pid, signal.SIGINT)  # as a terminal does: to all of them
    _, said = child.communicate(timeout=30)
    assert (tmp_path / "saved").exists()
    assert child.returncode == 130
    assert said == "\nstopped; `make demo` again goes on from what is done\n"


@pytest.mark.slow
def test_a_demo_goes_on_from_the_config_of_its_run(terminal: Any, tiny: list[str]) -> None:
    terminal.type(*tiny, "run_name=demo", "trainer.max_steps=4", "checkpoint.every_steps=2", before=STOPPED)
    assert choose_run_dir(terminal.folder / "runs") == (terminal.folder / "runs/demo", False)
    text = terminal.type("--config-path", "runs/demo", "--config-name", "config")
    assert "resume: from step 2 of 4" in text
    assert choose_run_dir(terminal.folder / "runs") == (terminal.folder / "runs/demo_2", True)


STOPPED = """
import os, signal, pretrain.train as loop
real, calls = loop.forward_backward, iter(range(1000))
def asked(*arguments):
    if next(calls) == 2:
        os.kill(os.getpid(), signal.SIGTERM)
    return real(*arguments)
loop.forward_backward = asked
"""


def test_the_trainer_is_found_by_the_lock_of_its_folder(tmp_path: Path) -> None:
    with folder_lock(tmp_path):
        assert trainer_pid(tmp_path) == os.getpid()


def test_steps_are_the_lines_written(tmp_path: Path) -> None:
    assert steps_done(tmp_path) == 0
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 1}\n{"step": 2}\n{"st')
    assert steps_done(tmp_path) == 2


def test_the_length_fits_the_machine() -> None:
    overrides, max_steps = fitted_to_machine()
    assert MIN_STEPS <= max_steps <= MAX_STEPS
    assert f"trainer.max_steps={max_steps}" in overrides


@pytest.mark.parametrize(
    ("argument", "code", "said"), [("--help", 0, "raw text to shards"), ("run=x", 2, "unrecognized")]
)
def test_help_and_what_is_unknown_start_nothing(tmp_path: Path, argument: str, code: int, said: str) -> None:
    broken = "from launch import demo; demo.run = None; demo.main()"  # a start would fail with 1
    command = [sys.executable, "-c", broken, argument]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == code, done
    assert said in done.stdout + done.stderr and "of 5" not in done.stdout


def test_lines_are_shown_as_they_can_be_typed(capsys: pytest.CaptureFixture[str]) -> None:
    command = shown("python", "-c", "print('a b')")
    assert command[0].startswith(str(Path(sys.executable).parent))
    assert capsys.readouterr().out == "$ python -c 'print('\"'\"'a b'\"'\"')'\n\n"


def test_a_step_that_fails_ends_the_demo_with_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    for advice, said in (("", ""), ("move it away", "move it away\n")):
        with pytest.raises(SystemExit) as ended:
            run("python", "-c", "raise SystemExit(7)", if_it_fails=advice)
        assert ended.value.code == 7
        assert capsys.readouterr().err == said
    assert subprocess.run(shown("python", "-c", "pass"), check=False).returncode == 0


TRAINER = """
import pathlib, signal, sys, time
from foundation.files import folder_lock
folder = pathlib.Path(sys.argv[1])
signal.signal(signal.SIGTERM, lambda *_: sys.exit(int(sys.argv[2])))
with folder_lock(folder), open(folder / "metrics.jsonl", "w") as lines:
    for step in range(1, 200):
        print(step, file=lines, flush=True)
        time.sleep(0.05)
sys.exit(9)
"""


@pytest.mark.parametrize("code", [0, 7])
def test_the_trainer_is_stopped_amid_its_steps_and_its_failure_ends_the_demo(tmp_path: Path, code: int) -> None:
    line = ("python", "-c", TRAINER, str(tmp_path), str(code))
    if code:
        with pytest.raises(SystemExit) as ended:
            train_and_stop(line, tmp_path, stop_step=3)
        assert ended.value.code == code
    else:
        train_and_stop(line, tmp_path, stop_step=3)
    assert 3 <= steps_done(tmp_path) < 199
