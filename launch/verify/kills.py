"""When a run is killed, and how: every process of it at once, at a moment that its own files tell."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from launch.child import Child
from pretrain.checkpoint.integrity import folder_name
from pretrain.metrics.lines import read_metrics
from pretrain.run_files import CHECKPOINTS, METRICS

LOOK_S = 0.002  # between two looks at the run's files
LIST_S = 0.3  # between two looks at which processes there are
TELL_S = 20.0  # between two words on a long run
STEP, SAVE, EVALUATION = "step", "save", "evaluation"


@dataclass(frozen=True, slots=True)
class Moment:
    """What is waited for, and how long after it the kill comes.

    Attributes:
        kind: STEP: its line is written. SAVE: its files are being written, or just were. EVALUATION: the line before it
            is written, its own is not: what is measured joins it.
        step: which. wait_frac: share of a step's time that goes by after that.
    """

    kind: str
    step: int
    wait_frac: float


def moments(kills: int, steps: int, save_every: int, eval_every: int, seed: int) -> list[Moment]:
    """Return as many moments, of all kinds in turn, in the order of their steps: each start gets further."""
    draw = random.Random(seed)
    kinds = [SAVE, EVALUATION, STEP]
    draw.shuffle(kinds)
    last = steps - 3  # behind it the run may end before it is killed
    places = {
        SAVE: list(range(save_every, last + 1, save_every)),
        EVALUATION: list(range(eval_every, last + 1, eval_every)),
        STEP: list(range(1, last + 1)),
    }
    found: list[Moment] = []
    for number in range(kills):
        kind = kinds[number % len(kinds)]
        taken = {moment.step for moment in found if moment.kind == kind}
        left = [step for step in places[kind] if step not in taken] or places[STEP]
        found.append(Moment(kind, draw.choice(left), draw.random()))
    return sorted(found, key=lambda moment: moment.step)


class Files:
    """What a run's files tell of this start of it; what an earlier one left is not looked at.

    Args:
        run_dir: of the run, before the start.
    """

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        left = [path for path in (run_dir / METRICS, *self._saving()) if path.exists()]
        self._left = {_identity(path) for path in left}
        self._whole = {path.name for path in (run_dir / CHECKPOINTS).glob("step_*")}
        self._held = [os.open(path, os.O_RDONLY) for path in left]  # the number of a file in use goes to no other

    def close(self) -> None:
        """Let go of what an earlier start left."""
        while self._held:
            os.close(self._held.pop())

    def last_step(self) -> int:
        """Return the last step whose line is written; 0 before there is one of this start."""
        path = self._run_dir / METRICS
        if _identity(path) in self._left:
            return 0
        return max((int(line["step"]) for line in read_metrics(path)), default=0)

    def has_come(self, moment: Moment) -> bool:
        """Return whether what the moment waits for has happened."""
        if moment.kind == SAVE:
            name = folder_name(moment.step)
            if any(path.name.startswith(f".{name}") and _identity(path) not in self._left for path in self._saving()):
                return True
            return name not in self._whole and self.has_saved(moment.step)  # it was over between two looks
        return self.last_step() >= moment.step - (moment.kind == EVALUATION)

    def has_saved(self, step: int) -> bool:
        """Return whether the checkpoint of this step is whole, whoever saved it."""
        return (self._run_dir / CHECKPOINTS / folder_name(step)).is_dir()

    def told(self) -> str:
        """Return where the run is, now that it does not go on."""
        saving = [path.name for path in self._saving() if _identity(path) not in self._left]
        whole = [path.name for path in (self._run_dir / CHECKPOINTS).glob("step_*")]
        amid = f", amid the save {saving[0]}" if saving else ""
        return f"after the line of step {self.last_step()}{amid}, {len(whole)} checkpoints whole"

    def _saving(self) -> list[Path]:
        return list((self._run_dir / CHECKPOINTS).glob(".step_*"))


def _identity(path: Path) -> tuple[str, int]:
    with contextlib.suppress(OSError):
        return path.name, path.stat().st_ino
    return path.name, 0  # not there; a file is never number 0


class Killer(threading.Thread):
    """Waits for something beside a child and then kills all of its processes.

    Args:
        child: that is about to run.
        is_due: asked again and again; true: now.
        wait_s: seconds that go by between.
        tell: called every TELL_S seconds meanwhile.
    Attributes:
        has_killed: whether it came to that.
    """

    def __init__(self, child: Child, is_due: Callable[[], bool], wait_s: float, tell: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._child, self._is_due, self._wait_s, self._tell = child, is_due, wait_s, tell
        self._over = threading.Event()
        self.has_killed = False

    def run(self) -> None:
        known: list[int] = []
        listed_s, told_s = 0.0, time.monotonic()
        while not self._over.wait(LOOK_S):
            if self._child.pid is None:
                continue
            if self._is_due():
                if not self._over.wait(self._wait_s):
                    self.has_killed = True
                    kill_all(self._child.pid, known)
                return
            if time.monotonic() - listed_s > LIST_S:  # listing takes time that a short save may not last
                known, listed_s = descendants(self._child.pid), time.monotonic()
            if time.monotonic() - told_s > TELL_S:
                self._tell()
                told_s = time.monotonic()

    def end(self) -> None:
        """Stop waiting: the child has ended."""
        self._over.set()
        self.join()


def kill_all(pid: int, known: list[int]) -> None:
    """Kill a process and all that it started, at once: none is left to save or to tell another."""
    for each in [*known, pid]:
        _send(each, signal.SIGSTOP)
    everyone = {*known, *descendants(pid), pid}
    for each in everyone:
        _send(each, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """Return the ids of all processes that `pid` or one of these started."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    children: dict[int, list[int]] = {}
    for line in listed.splitlines():
        one, parent = line.split()
        children.setdefault(int(parent), []).append(int(one))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
