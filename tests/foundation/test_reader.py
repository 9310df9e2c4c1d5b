from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from foundation.reader import LEFT

ROOT = Path(__file__).resolve().parents[2]
WRAPPED = "import os, sys\nfrom foundation.reader import reader_may_leave\nwith reader_may_leave():\n    "


def left_early(*words: str, merged: bool = False) -> tuple[int, str]:
    """Start a command whose reader is gone at once; return its exit code and what it wrote elsewhere."""
    error = subprocess.STDOUT if merged else subprocess.PIPE
    process = subprocess.Popen([sys.executable, *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=error, text=True)
    assert process.stdout is not None
    process.stdout.close()
    said = process.stderr.read() if process.stderr else ""
    return process.wait(timeout=60), said


@pytest.mark.parametrize(
    "words",
    [
        ["-m", "data_pipeline", "--help"],
        ["launch/train.py", "--help"],
        ["launch/generate.py", "--help"],
    ],
)
def test_a_command_whose_reader_left_ends_without_a_word(words: list[str]) -> None:
    assert left_early(*words) == (LEFT, "")


@pytest.mark.parametrize("body", ["print('x' * 10**6)", "print('x')", "print('x'); sys.exit(2)"])
def test_it_does_not_matter_when_the_output_is_written(body: str) -> None:
    assert left_early("-c", WRAPPED + body) == (LEFT, "")


def test_a_closed_log_ends_it_too() -> None:
    assert left_early("-c", WRAPPED + "print('x', file=sys.stderr)", merged=True)[0] == LEFT


def test_an_exit_code_and_another_broken_pipe_stay_what_they_are() -> None:
    def run(body: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", WRAPPED + body], cwd=ROOT, capture_output=True, text=True)

    assert run("print('x'); sys.exit(7)").returncode == 7
    broken = run("a, b = os.pipe(); os.close(a); os.write(b, b'x')")
    assert broken.returncode == 1 and "BrokenPipeError" in broken.stderr
    closed = subprocess.run(["sh", "-c", '"$0" -c "$1" >&-', sys.executable, WRAPPED + "sys.exit(3)"], cwd=ROOT)
    assert closed.returncode == 3
