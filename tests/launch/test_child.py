"""What becomes of a signal meant for the parent, and which exit code a child's run comes to."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from launch.child import Child, is_child
from pretrain.run_folder import write_status
from pretrain.types import Status


def script_child(script: str) -> Child:
    return Child([sys.executable, "-c", script], Path(), [])


def test_a_child_is_told_what_to_train_and_that_it_is_one(tmp_path: Path) -> None:
    script = f"""
import pathlib, sys
from launch.child import is_child
pathlib.Path({str(tmp_path / "seen")!r}).write_text("\\n".join([*sys.argv[1:], str(is_child())]))
"""
    assert not is_child()
    assert Child([sys.executable, "-c", script], tmp_path, ["extra_targets=[mine.]"]).run() == 0
    train, *arguments, told = (tmp_path / "seen").read_text().splitlines()
    assert train.endswith("launch/train.py")
    assert arguments == [f"--config-path={tmp_path}", "--config-name=config", "extra_targets=[mine.]"]
    assert told == "True"


@contextlib.contextmanager
def handler_of(number: signal.Signals, handler: Any) -> Iterator[None]:
    """Have a handler of one's own, so that a signal which the child never hears ends no more than its test."""
    before = signal.signal(number, handler)
    try:
        yield
        assert signal.getsignal(number) is handler  # the parent's is its own again
    finally:
        signal.signal(number, before)


def send_when(ready: Path, number: signal.Signals) -> None:
    def send() -> None:
        while not ready.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), number)
        ready.with_name("sent").touch()

    threading.Thread(target=send).start()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP])
def test_a_stop_is_handed_on_and_the_child_may_finish(tmp_path: Path, number: signal.Signals) -> None:
    script = f"""
import pathlib, signal, sys, time

def save(*_):
    time.sleep(0.3)
    pathlib.Path({str(tmp_path / "saved")!r}).touch()
    sys.exit(5)

signal.signal(signal.SIGTERM, save)
pathlib.Path({str(tmp_path / "ready")!r}).touch()
time.sleep(20)
"""
    with handler_of(number, lambda *_: None):
        send_when(tmp_path / "ready", number)
        assert script_child(script).run() == 5
    assert (tmp_path / "saved").exists()


def test_sigquit_ends_the_child_without_saving(tmp_path: Path) -> None:
    script = f"""
import pathlib, resource, time
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
pathlib.Path({str(tmp_path / "ready")!r}).touch()
time.sleep(20)
"""
    with handler_of(signal.SIGQUIT, lambda *_: None):
        send_when(tmp_path / "ready", signal.SIGQUIT)
        assert script_child(script).run() == 128 + signal.SIGQUIT


def test_a_closed_window_leaves_what_nohup_started(tmp_path: Path) -> None:
    script = f"""
import pathlib, time
pathlib.Path({str(tmp_path / "ready")!r}).touch()
while not pathlib.Path({str(tmp_path / "sent")!r}).exists():
    time.sleep(0.01)
time.sleep(0.3)  # what was handed on by mistake ends it here
"""
    with handler_of(signal.SIGHUP, signal.SIG_IGN):
        send_when(tmp_path / "ready", signal.SIGHUP)
        assert script_child(script).run() == 0


def test_a_stop_while_the_child_is_being_started_reaches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class StoppedAmidStart(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **keywords: Any) -> None:
            super().__init__(*args, **keywords)
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(subprocess, "Popen", StoppedAmidStart)
    with handler_of(signal.SIGTERM, lambda *_: None):
        child = script_child("import time; time.sleep(20)")
        assert child.run() == 128 + signal.SIGTERM
    assert child.stopped


def test_a_later_second_ctrl_c_reaches_the_child_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("launch.child.ECHO_S", 0.1)
    heard = tmp_path / "heard"
    script = f"""
import pathlib, signal, sys, time

def hear(number, frame):
    with pathlib.Path({str(heard)!r}).open("a") as file:
        print(signal.Signals(number).name, file=file)
    if number == signal.SIGINT:
        sys.exit(1)

signal.signal(signal.SIGTERM, hear)
signal.signal(signal.SIGINT, hear)
pathlib.Path({str(heard)!r}).touch()
while True:
    time.sleep(60)
"""

    def press() -> None:
        for lines in range(3):
            while not (heard.exists() and len(heard.read_text().splitlines()) >= lines):
                time.sleep(0.01)
            time.sleep(0.2 if lines == 2 else 0)  # the second within the time of an echo, the third after it
            os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press).start()
    assert script_child(script).run() == 1
    assert heard.read_text().split() == ["SIGTERM", "SIGTERM", "SIGINT"]


def wrote(folder: Path, status: str) -> str:
    """Return a child's script that ends a run like this."""
    return f"""
import json
from pathlib import Path
Path({str(folder / "status.json")!r}).write_text(json.dumps({{"status": {status!r}, "reason": "", "step": 1}}))
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
@pytest.mark.parametrize("status", ["preempted", "finished"])
def test_a_ctrl_c_that_stopped_the_childs_run_is_this_commands_end(
    tmp_path: Path, number: signal.Signals, code: int, status: str
) -> None:
    ready = tmp_path / "ready"
    script = f"""
import pathlib, signal, time
heard = []
signal.signal(signal.SIGTERM, lambda *_: heard.append(1))
pathlib.Path({str(ready)!r}).touch()
while not heard:
    time.sleep(0.01)
{wrote(tmp_path, status)}"""

    send_when(ready, number)
    assert script_child(script).train(tmp_path) == (code if status == "preempted" else 0)


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [
        (signal.SIGINT, 130, "Ctrl-C"),
        (signal.SIGHUP, 129, "a closed terminal (SIGHUP)"),
        (signal.SIGTERM, 143, "SIGTERM"),
    ],
)
def test_a_stop_before_the_training_says_what_it_was(
    tmp_path: Path, number: signal.Signals, code: int, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    ready = tmp_path / "ready"
    with handler_of(number, lambda *_: None):
        send_when(ready, number)
        script = f"import pathlib, time; pathlib.Path({str(ready)!r}).touch(); time.sleep(20)"
        assert script_child(script).train(tmp_path) == code
    assert capfd.readouterr().err.startswith(f"stopped by {words} before it trained; typed again, a run goes on from")


def test_a_final_exit_code_is_left_word_of(tmp_path: Path) -> None:
    script = "from pretrain.torchrun import refuse_restarts; refuse_restarts(2); refuse_restarts(4)"
    assert script_child(script).run() == 2
    assert script_child(f"{script}\n{wrote(tmp_path, 'failed')}").train(tmp_path) == 2  # by a disk that became full
    assert script_child(f"{script}\n{wrote(tmp_path, 'stopped')}").train(tmp_path) == 3  # as status.json says


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "script", "code"),
    [
        ("finished", "", 0),  # it was over already
        ("preempted", "raise SystemExit(2)", 2),  # refused: the old status.json is not its own
        ("finished", "import os; os.kill(os.getpid(), 9)", 137),
        ("finished", "stopped", 3),
        ("failed", "preempted", 0),
        ("finished", "failed", 1),
    ],
)
def test_the_exit_code_is_what_this_childs_run_came_to(tmp_path: Path, before: str, script: str, code: int) -> None:
    write_status(tmp_path, Status(before), "", 1)
    script = wrote(tmp_path, script) if script.isalpha() else script
    assert script_child(script).train(tmp_path) == code


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="a parent's death is told on Linux alone")
def test_a_parent_that_is_killed_takes_its_child_along(tmp_path: Path) -> None:
    told = tmp_path / "told"
    script = f"""
import pathlib, signal, sys, time
told = pathlib.Path({str(told)!r})
def hear(number, frame):
    told.with_name("heard").touch()
    sys.exit()
signal.signal(signal.SIGTERM, hear)
told.touch()
time.sleep(60)
"""
    parent = f"""
import pathlib, sys
from launch.child import Child
Child([sys.executable, "-c", {script!r}], pathlib.Path(), []).run()
"""
    with subprocess.Popen([sys.executable, "-c", parent]) as process:
        while not told.exists():
            assert process.poll() is None
            time.sleep(0.05)
        process.kill()
    give_up_s = time.monotonic() + 60
    while not (tmp_path / "heard").exists():
        assert time.monotonic() < give_up_s
        time.sleep(0.05)
