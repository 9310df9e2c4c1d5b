"""SIGTERM, SIGINT and SIGUSR1 ask the loop to save and end; a second one ends the process at once."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

# torchrun forwards SIGTERM and SIGINT; SIGUSR1 (Slurm's warning) only with --signals-to-handle
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class StopSignal:
    """Remembers that this rank was asked to stop. The ranks agree through the step's own reduction."""

    def __init__(self) -> None:
        self.requested = False

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
        self.requested = True
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        # torchrun sends SIGTERM to a group that got Ctrl-C from the terminal already: one stop, not two.
        if number == signal.SIGINT:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
