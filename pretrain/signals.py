"""SIGTERM, SIGINT and SIGUSR1 ask the loop to save and end; a second Ctrl-C, at least 2 s later, ends it at once."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from types import FrameType

# torchrun hands on the first SIGTERM or SIGINT, SIGUSR1 (Slurm's warning) only with --signals-to-handle
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)

SAID = b"""stopping: the state is saved when this micro batch is done (on several GPUs: after two more steps)
"""
ALONE = b"(a second Ctrl-C leaves without saving)\n"
UNDER_TORCHRUN = b"(torchrun waits 30 s for it, or as long as its --shutdown-timeout says)\n"
ECHO_S = 2.0  # a Ctrl-C may come from the terminal and again from a parent: within this time they are one


class StopSignal:
    """Remembers that this rank was asked to stop, and says so at once.

    The loop makes sure that all ranks stop at the same step.

    Args:
        says: whether to say it; of several ranks one does.
        under_torchrun: then a second Ctrl-C doesn't come through, and there is a time limit.
    """

    def __init__(self, says: bool, under_torchrun: bool) -> None:
        self._says, self._end_of_message = says, UNDER_TORCHRUN if under_torchrun else ALONE
        self.requested = False
        self._first_s = 0.0

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Handle the signals inside this block; and restore the previous handlers after it."""
        before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self.requested:
            self.requested, self._first_s = True, time.monotonic()
            if self._says:
                self._say()
        elif number == signal.SIGINT and time.monotonic() - self._first_s > ECHO_S:
            raise KeyboardInterrupt

    def _say(self) -> None:
        # not by print: the handler may run amid a print of the loop, whose buffer can't be entered twice
        with contextlib.suppress(OSError):
            os.write(2, SAID + self._end_of_message)
