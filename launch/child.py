"""A training in a child process: what becomes of a signal meant for this one, and how the child's run ended."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import time
from pathlib import Path
from types import FrameType

from foundation.stops import handling
from launch.exit_codes import CRASH_LOOP, DONE, FAILED, INTERRUPTED, STOPPED
from launch.parent import end_with_parent
from pretrain.run_folder import is_crash_loop, read_status, status_stamp
from pretrain.signals import ECHO_S, HANDED_ON
from pretrain.torchrun import LAUNCHED, is_launched, is_worker
from pretrain.types import Status

EXIT_CODES = {Status.FINISHED: DONE, Status.PREEMPTED: DONE, Status.STOPPED: STOPPED, Status.FAILED: FAILED}

TRAIN = Path(__file__).with_name("train.py")


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
    Attributes:
        stopped: whether this process was asked to stop meanwhile.
    """

    def __init__(
        self, prefix: list[str], config_dir: Path, extra_targets: list[str], output: Path | None = None
    ) -> None:
        config = [f"--config-path={config_dir.resolve()}", "--config-name=config"]
        self._command = [*prefix, str(TRAIN), *config, *extra_targets]
        self._output = output
        self._process: subprocess.Popen[bytes] | None = None
        self._unsent: list[signal.Signals] = []
        self._stopped_s: float | None = None
        self._interrupted = False

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
            Its exit code; 128 + the signal's number where one killed it, as shells say.
        """
        environment = os.environ | {LAUNCHED: "1"}
        with contextlib.ExitStack() as held:
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
        return code if code >= 0 else 128 - code

    def train(self, run_dir: Path) -> int:
        """Run it; return the exit code that its run's status.json asks for: torchrun hides a worker's own.

        Args:
            run_dir: of the run that the child trains.
        """
        before = status_stamp(run_dir)
        code = self.run()
        if status_stamp(run_dir) in (before, None):
            return code  # it was refused, was over already, or was killed: this child wrote no status.json
        if is_crash_loop(run_dir):
            return CRASH_LOOP
        return exit_code(Status(read_status(run_dir)["status"]), self._interrupted)

    def _hand_on(self, number: int, _: FrameType | None) -> None:
        """As SIGTERM, but for what is to end it without saving: SIGQUIT, and a later second Ctrl-C."""
        again = self._stopped_s is not None and time.monotonic() - self._stopped_s > ECHO_S
        if self._stopped_s is None:
            self._stopped_s, self._interrupted = time.monotonic(), number == signal.SIGINT
        at_once = number == signal.SIGQUIT or (again and number == signal.SIGINT)
        sent = signal.Signals(number) if at_once else signal.SIGTERM
        if self._process is None:  # it is being started
            self._unsent.append(sent)
        else:
            self._process.send_signal(sent)
