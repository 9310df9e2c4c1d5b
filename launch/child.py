"""A training in a child process: what becomes of a signal meant for this one, and how the child's run ended."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

from foundation.stops import handling
from launch.exit_codes import CRASH_LOOP, DONE, FAILED, INTERRUPTED, NOT_CLEARED, REFUSED, STOPPED, TYPED_AGAIN
from launch.parent import end_with_parent
from pretrain.run_files import read_status
from pretrain.run_folder import is_crash_loop, status_stamp
from pretrain.signals import ECHO_S, HANDED_ON, NAMES
from pretrain.torchrun import ASKED_BY, END, LAUNCHED, is_launched, is_worker, leave_word, word
from pretrain.types import Status

EXIT_CODES = {Status.FINISHED: DONE, Status.PREEMPTED: DONE, Status.STOPPED: STOPPED, Status.FAILED: FAILED}

TRAIN = Path(__file__).with_name("train.py")
KILLED_EARLY = 128 + signal.SIGTERM  # what is asked to stop before its training listens


def exit_code(status: Status, interrupted: bool) -> int:
    """Return the exit code of a run that ended like this; of one that a cluster stopped it is 0."""
    return INTERRUPTED if interrupted and status is Status.PREEMPTED else EXIT_CODES[status]


def is_child() -> bool:
    """Return whether a launcher or torchrun started this process: such a one trains, and never launches or sweeps."""
    return is_launched() or is_worker()


class Child:
    """A child that trains what a resolved config.yaml says.

    Args:
        prefix: what stands before launch/train.py on its command line.
        config_dir: where that config.yaml lies.
        extra_targets: the arguments that admit a user's own classes.
        output: file that takes what it prints, behind what is there; None leaves it on this process's console.
        script: in place of launch/train.py.
    Attributes:
        stopped: whether this process was asked to stop meanwhile.
    """

    def __init__(
        self,
        prefix: list[str],
        config_dir: Path,
        extra_targets: list[str],
        output: Path | None = None,
        script: Path = TRAIN,
    ) -> None:
        config = [f"--config-path={config_dir.resolve()}", "--config-name=config"]
        self._command = [*prefix, str(script), *config, *extra_targets]
        self._output = output
        self._process: subprocess.Popen[bytes] | None = None
        self._words: Path | None = None
        self._unsent: list[signal.Signals] = []
        self._stopped_s: float | None = None
        self._asked_by: signal.Signals | None = None

    @property
    def stopped(self) -> bool:
        return self._stopped_s is not None

    @property
    def pid(self) -> int | None:
        """The child's process id; None before it is started."""
        return None if self._process is None else self._process.pid

    def run(self) -> int:
        """Run it to its end; a stop meant for this process goes on to the child, which saves.

        Returns:
            Its exit code; 128 + the signal's number where one killed it, as shells say. Under torchrun, which hides
            it, that of the rank that said that another start would not help.
        """
        with contextlib.ExitStack() as held:
            self._words = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="groundwork-")))
            environment = os.environ | {LAUNCHED: str(self._words)}
            output = None if self._output is None else held.enter_context(self._output.open("ab"))
            held.enter_context(handling(HANDED_ON, self._hand_on))
            errors = None if output is None else subprocess.STDOUT
            self._process = held.enter_context(
                subprocess.Popen(
                    self._command,
                    env=environment,
                    start_new_session=True,
                    stdout=output,
                    stderr=errors,
                    preexec_fn=functools.partial(end_with_parent, os.getpid()),
                )
            )
            for number in self._unsent:
                self._process.send_signal(number)
            code = self._process.wait()
            if final := word(END, self._words):
                return int(final)
        return code if code >= 0 else 128 - code

    def train(self, run_dir: Path) -> int:
        """Run it; return the exit code that its run's status.json asks for: torchrun hides a worker's own.

        Args:
            run_dir: of the run that the child trains.
        """
        before = status_stamp(run_dir)
        code = self.run()
        if status_stamp(run_dir) in (before, None):  # refused, over already, or killed: this child wrote no status.json
            return self._stopped_early() if code == KILLED_EARLY and self._asked_by is not None else code
        if is_crash_loop(run_dir):
            return CRASH_LOOP
        status = Status(read_status(run_dir)["status"])
        if status is Status.FAILED and code in (REFUSED, NOT_CLEARED):
            return code  # a disk became full after it had begun; or preflight said stop
        return exit_code(status, self._asked_by == signal.SIGINT)

    def _stopped_early(self) -> int:
        assert self._asked_by is not None
        print(f"stopped by {NAMES[self._asked_by]} before it trained; {TYPED_AGAIN}", file=sys.stderr, flush=True)
        return 128 + self._asked_by

    def _hand_on(self, number: int, _: FrameType | None) -> None:
        """As SIGTERM, with word of what it was, but for what ends it without saving: SIGQUIT, a later second Ctrl-C."""
        again = self._stopped_s is not None and time.monotonic() - self._stopped_s > ECHO_S
        if self._stopped_s is None:
            self._stopped_s, self._asked_by = time.monotonic(), signal.Signals(number)
            leave_word(ASKED_BY, self._asked_by.name, self._words)
        at_once = number == signal.SIGQUIT or (again and number == signal.SIGINT)
        sent = signal.Signals(number) if at_once else signal.SIGTERM
        if self._process is None:  # it is being started
            self._unsent.append(sent)
        else:
            self._process.send_signal(sent)
