"""SIGTERM, SIGINT and SIGUSR1 ask the loop to save and end; a later second Ctrl-C ends it at once."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from types import FrameType

# torchrun forwards SIGTERM and SIGINT; SIGUSR1 (Slurm's warning) only with --signals-to-handle
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)

ECHO_S = 2.0  # Ctrl-C reaches a worker from the terminal and again from torchrun: within this time they are one


class StopSignal:
    """Remembers that this rank was asked to stop. The ranks agree through the step's own reduction."""

    def __init__(self) -> None:
        self.requested = False
        self._first_s = 0.0

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Handle the signals inside this block; the handlers of before stand again after it."""
        before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self.requested:
            self.requested, self._first_s = True, time.monotonic()
        elif number == signal.SIGINT and time.monotonic() - self._first_s > ECHO_S:
            raise KeyboardInterrupt
