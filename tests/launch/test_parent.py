"""A process whose parent dies, before or after it has asked to be told."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a parent's death is told on Linux alone")


@pytest.mark.parametrize(("parent", "code"), [("os.getppid()", 0), ("None", 0), ("os.getppid() + 1", 143)])
def test_one_whose_parent_died_before_it_asked_ends_at_once(parent: str, code: int) -> None:
    script = f"import os; from launch.parent import end_with_parent; end_with_parent({parent})"
    assert subprocess.run([sys.executable, "-c", script], timeout=60).returncode == code


def test_nothing_is_looked_up_between_fork_and_exec() -> None:
    script = """
import ctypes
from launch import parent
def refuse(*_):
    raise AssertionError("dlsym")
ctypes.CDLL.__getattr__ = ctypes.CDLL.__getitem__ = refuse
parent.end_with_parent()
"""
    assert subprocess.run([sys.executable, "-c", script], timeout=60).returncode == 0


def test_a_child_whose_launcher_dies_amid_the_fork_does_not_go_on() -> None:
    script = """
import os, sys
from pathlib import Path
from launch import parent
from launch.child import Child
end, died = os.pipe()
if os.fork():  # reads until nobody holds the pipe's other side
    os.close(died)
    print(os.read(end, 100).decode() or "nobody went on", flush=True)
else:
    ask, me = parent.PRCTL, os.getpid()
    def late(*arguments):
        os.kill(me, 9)
        while os.getppid() == me:
            pass
        return ask(*arguments)
    parent.PRCTL = late
    Child([sys.executable, "-c", f"import os; os.write({died}, b'it went on')"], Path(), []).run()
"""
    found = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, timeout=60)
    assert found.stdout == "nobody went on\n"
