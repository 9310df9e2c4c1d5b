"""launcher=torchrun's own program: torchrun's ranks, small scripts here, end without its report of what they told."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from launch.child import Child
from launch.launchers import TorchRun

pytestmark = pytest.mark.slow
HEAD = """
import os, signal, sys, time
from pathlib import Path
rank, restarts = int(os.environ["RANK"]), int(os.environ["TORCHELASTIC_RESTART_COUNT"])
def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())
from launch.exit_codes import REFUSED
from pretrain.torchrun import code_to_leave_with, refuse_restarts
if (code := code_to_leave_with(REFUSED)) is not None:
    sys.exit(code)
say(rank, restarts)
"""
Run = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def run(tmp_path: Path, one_thread: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run two ranks of a script under launch/child.py; return the exit code and all lines, in an order of their own."""
    for name, value in one_thread.items():
        monkeypatch.setenv(name, value)

    def begin(script: str, max_restarts: int = 3) -> tuple[int, list[str]]:
        path = tmp_path / "script.py"
        path.write_text(HEAD + script)
        output = tmp_path / "output"
        code = Child(TorchRun(2, max_restarts).prefix(), tmp_path, [], output, path).run()
        return code, sorted(output.read_text().splitlines())

    return begin


@pytest.mark.parametrize(("code", "max_restarts"), [(2, 0), (3, 3), (4, 3)])
def test_a_final_end_is_told_by_the_ranks_alone_and_not_restarted(run: Run, code: int, max_restarts: int) -> None:
    script = f"if rank:\n    refuse_restarts({code})\n    sys.exit({code})\ntime.sleep(60)"
    assert run(script, max_restarts) == (code, ["0 0", "1 0"])


def test_a_rank_that_failed_is_named_and_all_are_started_again(run: Run) -> None:
    code, lines = run("sys.exit(7) if rank and restarts == 0 else time.sleep(0 if restarts else 60)")
    assert code == 0
    assert lines[:4] == ["0 0", "0 1", "1 0", "1 1"]
    assert len(lines) == 5
    assert "failed (exitcode: 7) local_rank: 1" in lines[4]


@pytest.mark.parametrize(("end", "code"), [("sys.exit(7)", 7), ("os.kill(os.getpid(), signal.SIGKILL)", 137)])
def test_the_first_failure_is_the_exit_code_when_no_restart_is_left(run: Run, end: str, code: int) -> None:
    found, lines = run(f"time.sleep(60) if rank else {end}", max_restarts=0)
    assert found == code
    assert "Traceback" not in "".join(lines)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_stop_reaches_all_ranks_with_word_of_what_it_was(run: Run, tmp_path: Path, number: signal.Signals) -> None:
    script = """
from pretrain.torchrun import ASKED_BY, word
def hear(number, frame):
    say(rank, signal.Signals(number).name, "for", word(ASKED_BY))
    sys.exit()
signal.signal(signal.SIGTERM, hear)
Path(sys.argv[1].removeprefix("--config-path="), f"ready{rank}").touch()
time.sleep(60)
"""

    def send() -> None:
        give_up_s = time.monotonic() + 60
        while not all((tmp_path / f"ready{rank}").exists() for rank in (0, 1)) and time.monotonic() < give_up_s:
            time.sleep(0.05)
        signal.pthread_kill(threading.main_thread().ident or 0, number)

    before = signal.signal(number, signal.default_int_handler)
    sender = threading.Thread(target=send)
    sender.start()
    try:
        _, lines = run(script)
    finally:
        sender.join()
        signal.signal(number, before)
    heard = [f"{rank} SIGTERM for {number.name}" for rank in (0, 1)]
    assert lines == sorted(["0 0", "1 0", *heard])


def test_torchrun_as_it_comes_is_told_by_its_own_store(tmp_path: Path, one_thread: dict[str, str]) -> None:
    path = tmp_path / "script.py"
    path.write_text(HEAD + "refuse_restarts(2)\nsys.exit(2)")
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--max-restarts=1", "--nproc_per_node=2"]
    ended = subprocess.run([*line, str(path)], capture_output=True, text=True, env=one_thread, timeout=120)
    assert ended.returncode == 1
    assert sorted(ended.stdout.splitlines()) == ["0 0", "1 0"]
