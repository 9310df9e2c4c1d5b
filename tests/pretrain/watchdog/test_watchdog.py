"""The watchdog's own process beside ranks that hang in earnest: without torch, so that it takes seconds."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from foundation.stops import STOPS
from pretrain.heartbeat import PAGE, make_page
from pretrain.run_files import HANG
from pretrain.watchdog.watched import CHILD

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="processes are looked at through /proc"),
]
RANK = """
import ctypes, faulthandler, os, signal, sys, time
from pathlib import Path
from foundation.stops import STOPS
from pretrain.heartbeat import PAGE, Heartbeat, Phase
from pretrain.watchdog.report import DUMP_SIGNAL, stack_file
folder, rank, does = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
faulthandler.register(DUMP_SIGNAL, stack_file(folder, rank).open("wb"), all_threads=True, chain=False)
heart = Heartbeat()
heart.attach(folder / PAGE, rank, rank)
for step in range(2):
    heart.at(Phase.LOADING, step)
print("ready", flush=True)

def holds_the_lock():
    while True:
        ctypes.PyDLL(None).sleep(60)

if does == "waits":
    with heart.waiting():
        time.sleep(60)
heart.at(Phase.FORWARD, micro_batch=2)
if does == "ends":
    heart.at(Phase.ENDED)
    sys.stdin.read()
if does == "is traced":
    ctypes.CDLL(None).ptrace(0, 0, None, None)  # PTRACE_TRACEME: the parent is the debugger
    os.kill(os.getpid(), signal.SIGSTOP)
holds_the_lock()
"""


class Node:
    """A page, its ranks, and the watchdog that looks at them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.run_dir = folder / "page", folder / "run"
        for path in (self.folder, self.run_dir):
            path.mkdir()
        self.ranks: list[subprocess.Popen[str]] = []

    def start(self, *does: str | None, timeout_s: float = 1.0, kills: bool = True) -> subprocess.Popen[str]:
        make_page(self.folder / PAGE, len(does))
        for rank, what in enumerate(does):
            if what is None:  # it never got so far
                continue
            line = [sys.executable, "-c", RANK, str(self.folder), str(rank), what]
            self.ranks.append(subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        for each in self.ranks:
            assert each.stdout is not None
            assert each.stdout.readline() == "ready\n"
        told = {"folder": str(self.folder), "run_dir": str(self.run_dir), "hang_timeout_s": timeout_s}
        line = [*CHILD, json.dumps(told | {"all_here": True, "kills": kills})]
        return subprocess.Popen(line, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path)
    yield node
    for rank in node.ranks:
        rank.kill()
        rank.communicate()


def until(holds: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < give_up_s
        time.sleep(0.05)


def test_a_rank_that_holds_the_interpreters_lock_is_named_with_its_stack_and_killed(node: Node) -> None:
    watchdog = node.start("waits", "hangs")
    assert node.ranks[1].wait(60) == -signal.SIGKILL
    assert node.ranks[0].poll() is None  # it only waited
    node.ranks[0].kill()
    _, told = watchdog.communicate(timeout=60)
    assert watchdog.returncode == 0
    assert not node.folder.exists()
    report = (node.run_dir / HANG).read_text()
    head, _, rest = report.partition("\n")
    assert f"rank 1 (process {node.ranks[1].pid}) on " in head
    assert "step 2, micro batch 2, forward; 1 more rank waits for it; it is killed" in head
    assert "in holds_the_lock" in rest.partition("rank 0, process")[0]
    assert head[len("2026-01-01 00:00:00 ") :] in told


def test_a_stopped_rank_is_told_from_one_that_hangs(node: Node) -> None:
    watchdog = node.start("waits", "hangs", timeout_s=2.0)
    node.ranks[1].send_signal(signal.SIGSTOP)
    assert node.ranks[1].wait(60) == -signal.SIGKILL
    node.ranks[0].kill()
    watchdog.communicate(timeout=60)
    report = (node.run_dir / HANG).read_text()
    assert f"rank 1, process {node.ranks[1].pid}: stopped from outside" in report
    assert "(no stack: it did not answer)" in report


def test_where_nobody_restarts_a_rank_it_is_named_once_and_left_alone(node: Node) -> None:
    watchdog = node.start("hangs", timeout_s=1.0, kills=False)
    until(lambda: (node.run_dir / HANG).exists())
    time.sleep(2.5)
    assert node.ranks[0].poll() is None
    assert (node.run_dir / HANG).read_text().count(" gave no sign for ") == 1
    node.ranks[0].kill()
    watchdog.communicate(timeout=60)


def test_it_is_small_and_ends_when_the_ranks_say_that_they_have_ended(node: Node) -> None:
    watchdog = node.start("hangs", "waits", timeout_s=60.0)
    mapped = Path(f"/proc/{watchdog.pid}/maps")
    until(lambda: str(node.folder / PAGE) in mapped.read_text())  # all imports are done by then
    maps = mapped.read_text()
    assert "torch" not in maps
    assert "numpy" not in maps
    resident = Path(f"/proc/{watchdog.pid}/statm").read_text().split()[1]
    assert int(resident) * os.sysconf("SC_PAGE_SIZE") < 40e6
    for rank in node.ranks:
        rank.kill()
    watchdog.communicate(timeout=60)
    assert watchdog.returncode == 0
    assert not node.folder.exists()


def test_what_a_batch_system_sends_to_every_process_does_not_end_it(node: Node) -> None:
    watchdog = node.start("hangs", "waits", timeout_s=2.0)
    mapped = Path(f"/proc/{watchdog.pid}/maps")
    until(lambda: str(node.folder / PAGE) in mapped.read_text())
    for number in STOPS:
        watchdog.send_signal(number)
    assert node.ranks[0].wait(60) == -signal.SIGKILL  # it still looks
    node.ranks[1].kill()
    watchdog.communicate(timeout=60)
    assert watchdog.returncode == 0
    assert not node.folder.exists()


PTRACE_DETACH = 17


def test_a_rank_that_a_debugger_holds_is_named_and_left_alone_until_it_has_gone(node: Node) -> None:
    watchdog = node.start("waits", "is traced")
    held = node.ranks[1].pid
    until((node.run_dir / HANG).exists)
    until(lambda: "\n\n" in (node.run_dir / HANG).read_text())
    report = (node.run_dir / HANG).read_text()
    assert "1 more rank waits for it; it is left alone: a debugger holds it; an exchange that waits" in report
    assert f"rank 1, process {held}: held by a debugger" in report
    time.sleep(2.5)
    assert "State:\tt" in Path(f"/proc/{held}/status").read_text()
    assert (node.run_dir / HANG).read_text().count(" gave no sign for ") == 1
    assert ctypes.CDLL(None).ptrace(PTRACE_DETACH, held, None, None) == 0
    until(lambda: (node.run_dir / HANG).read_text().count(" gave no sign for ") == 2)
    assert os.waitstatus_to_exitcode(os.waitpid(held, 0)[1]) == -signal.SIGKILL
    node.ranks[0].kill()
    watchdog.communicate(timeout=60)


def test_a_slot_that_nobody_uses_shifts_no_ones_stack(node: Node) -> None:
    watchdog = node.start(None, "hangs", kills=False)
    until((node.run_dir / HANG).exists)
    until(lambda: "\n\n" in (node.run_dir / HANG).read_text())
    assert "in holds_the_lock" in (node.run_dir / HANG).read_text()
    node.ranks[0].kill()
    watchdog.communicate(timeout=60)
