"""SIGTERM, SIGINT, SIGHUP and SIGUSR1 ask the loop to save and end; a second Ctrl-C, after 2 s, leaves at once."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType

from foundation.stops import handling

# torchrun hands on the first SIGTERM, SIGINT or SIGHUP, SIGUSR1 (Slurm's warning) only with --signals-to-handle
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)
# what a launcher hands on: also what Ctrl-\ sends, as its ranks are out of the terminal's reach
HANDED_ON = (*SIGNALS, signal.SIGQUIT)
NAMES = {number: number.name for number in HANDED_ON}
NAMES |= {signal.SIGINT: "Ctrl-C", signal.SIGHUP: "a closed terminal (SIGHUP)"}

SAVES = b"stopping: the state is saved when this micro batch is done (on several GPUs: after two more steps)\n"
ENDS = b"stopping: checkpoint=none: nothing is saved; the run ends (on several GPUs: after two more steps)\n"
ALONE = b"(a Ctrl-C now leaves %s)\n"
UNDER_TORCHRUN = "(torchrun waits {} for it{})\n"
TORCHRUN_S = 30  # what torchrun gives by default
LONG_SHARE = 2 / 3  # of the limit: what a save leaves of it is the micro batch's before it
ECHO_S = 2.0  # a Ctrl-C may come from the terminal and again from a parent: within this time they are one


class StopSignal:
    """Remembers that this rank was asked to stop, and says so at once.

    The loop makes sure that all ranks stop at the same step.

    Args:
        says: whether to say it; of several ranks one does.
        under_torchrun: then a second Ctrl-C doesn't come through, and there is a time limit.
        saves: whether the loop saves when it stops.
        beside: whether saves go on beside the steps: then a stop may wait for one before it makes its own.
        limit_s: launcher.shutdown_timeout_s where launcher=torchrun started the ranks; None where its line was typed.
        word: returns the name of the signal that a launcher's parent heard, which its ranks hear as SIGTERM, or
            nothing.
    """

    def __init__(
        self,
        says: bool,
        under_torchrun: bool,
        saves: bool,
        beside: bool = False,
        limit_s: int | None = None,
        word: Callable[[], str] = str,
    ) -> None:
        self._says, self._under_torchrun, self._saves = says, under_torchrun, saves
        self._beside, self._limit_s, self._is_launched = beside, limit_s or TORCHRUN_S, limit_s is not None
        self._word = word
        self.requested, self._asker = False, ""
        self._number: int | None = None
        self._first_s = self._saving_s = 0.0

    @property
    def asked_by(self) -> str:
        """What asked first; of a rank that has heard nothing, another one has."""
        if self._asker:
            return self._asker
        if heard := self._word():
            return NAMES[signal.Signals[heard]]
        return "a signal" if self._number is None else NAMES[signal.Signals(self._number)]

    def ask(self, asker: str) -> None:
        """Ask for a stop in another way than by a signal; `asker` says how."""
        self.requested, self._asker = True, asker

    @property
    def interrupted(self) -> bool:
        """Whether it was a Ctrl-C that this process's exit code answers: torchrun has a code of its own."""
        return self._number == signal.SIGINT and not self._under_torchrun

    def saving_took(self, seconds: float) -> None:
        """Take how long a checkpoint took; where torchrun would kill amid one, say so before it happens."""
        foreseen, self._saving_s = self._is_long, max(seconds, self._saving_s)
        if self._says and self._under_torchrun and self._is_long and not foreseen:
            twice = f", a stop may wait for one under way and then for its own, {2 * seconds:.0f} s" * self._beside
            enough = max(120, math.ceil(self._stopping_s / LONG_SHARE / 60) * 60)
            start = f"launcher.shutdown_timeout_s={enough}" if self._is_launched else f"--shutdown-timeout={enough}"
            known = f"{self._limit_s} s" if self._is_launched else f"{TORCHRUN_S} s (or its --shutdown-timeout)"
            print(
                f"a checkpoint takes {seconds:.0f} s{twice}, and torchrun kills what has not ended {known} after its "
                "signal: a stop may lose what came after the last checkpoint. Start it "
                f"{'with' if self._is_launched else 'as torchrun'} {start}",
                file=sys.stderr,
                flush=True,
            )

    @property
    def _stopping_s(self) -> float:
        """How long a stop may wait for the disk."""
        return self._saving_s * (2 if self._beside else 1)

    @property
    def _is_long(self) -> bool:
        return self._stopping_s > LONG_SHARE * self._limit_s

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Handle the signals inside this block; and restore the previous handlers after it."""
        with handling(SIGNALS, self._handle):
            yield

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self.requested:
            self.requested, self._number, self._first_s = True, number, time.monotonic()
            if self._says:
                self._say()
        elif number == signal.SIGINT and time.monotonic() - self._first_s > ECHO_S:
            raise KeyboardInterrupt

    def _say(self) -> None:
        # not by print: the handler may run amid a print of the loop, whose buffer can't be entered twice
        with contextlib.suppress(OSError):
            saving = f"; saving took {self._saving_s:.0f} s last time" if self._is_long else ""
            alone = ALONE % (b"without saving" if self._saves else b"at once")
            known = f"{self._limit_s} s" + ("" if self._is_launched else ", or as long as its --shutdown-timeout says,")
            limit = UNDER_TORCHRUN.format(known, saving).encode() if self._under_torchrun else alone
            os.write(2, (SAVES if self._saves else ENDS) + limit)
