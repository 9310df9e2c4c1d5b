"""Signals that a batch system, a terminal or a launcher sends to every process of a job, and not to one of them."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterable, Iterator
from types import FrameType

# SIGUSR1 and SIGUSR2: the warnings of Slurm, LSF and Grid Engine; SIGXCPU: a limit of time is near
STOPS = (
    *(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT),
    *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU),
)


def outlive_stops() -> None:
    """Ignore them in a process that ends with those that it serves: they may take their time, and save."""
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def handling(numbers: Iterable[signal.Signals], handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle these signals inside this block, and as before after it; a SIGHUP that nohup ignores stays so."""
    ignored = {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else set()
    before = {number: signal.signal(number, handler) for number in set(numbers) - ignored}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
