from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from foundation.files import folder_lock
from launch.demo import (
    MAX_STEPS,
    MIN_STEPS,
    fitted_to_machine,
    free_run_dir,
    run,
    shown,
    steps_done,
    train_and_stop,
    trainer_pid,
)


def test_an_earlier_demo_is_kept(tmp_path: Path) -> None:
    names = []
    for _ in range(3):
        folder = free_run_dir(tmp_path)
        folder.mkdir(parents=True)
        names.append(folder.name)
    assert names == ["demo", "demo_2", "demo_3"]


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


def test_lines_are_shown_as_they_can_be_typed(capsys: pytest.CaptureFixture[str]) -> None:
    command = shown("python", "-c", "print('a b')")
    assert command[0].startswith(str(Path(sys.executable).parent))
    assert capsys.readouterr().out == "$ python -c 'print('\"'\"'a b'\"'\"')'\n\n"


def test_a_step_that_fails_ends_the_demo_with_its_code() -> None:
    with pytest.raises(SystemExit) as ended:
        run("python", "-c", "raise SystemExit(7)")
    assert ended.value.code == 7
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
