"""A stop that comes amid a look at a run: it ends the look at once, for nothing is written that would have to be saved.

A training saves when it is asked to stop, between two micro batches. A look has nothing to save, and one rung of it may
take minutes.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from foundation.errors import GroundworkError
from foundation.stops import handling
from pretrain.signals import NAMES, SIGNALS
from pretrain.torchrun import ASKED_BY, word


class LookStopped(GroundworkError):
    """A look was asked to stop.

    Args:
        number: of the signal.
    """

    restart_helps = False

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {NAMES[signal.Signals(number)]} before the first step; nothing was trained")
        self.exit_code = 128 + number  # as shells say


class Heard(BaseException):
    """A signal, raised where the main thread is: no check takes it for its own failure.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {NAMES[signal.Signals(number)]}")
        self.number = number


@contextlib.contextmanager
def ended_by_stops() -> Iterator[None]:
    """Have a signal that asks for a stop end this block as soon as Python gets a word in.

    Raises:
        LookStopped: names the signal; of what a launcher hands on, the one that it heard.
    """
    try:
        with handling(SIGNALS, _raise):
            yield
    except Heard as heard:
        raise LookStopped(first_heard(heard.number)) from None


def number_of_signal(name: str) -> int:
    """Return the number of a signal by the name that users read; SIGTERM's where another rank has heard it."""
    return int(next((number for number, known in NAMES.items() if known == name), signal.SIGTERM))


def first_heard(number: int) -> int:
    """Return the number of the signal that a launcher's parent heard, which its ranks hear as SIGTERM."""
    return int(signal.Signals[name]) if (name := word(ASKED_BY)) else number


def _raise(number: int, _: FrameType | None) -> None:
    raise Heard(number)
