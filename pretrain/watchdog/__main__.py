"""The watchdog of a node: looks at its ranks' signs of life once a second, names one that hangs, and kills it.

Started by local rank 0, ended when the ranks have ended, however they ended. Never imports torch: it takes a few
megabytes.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from foundation.stops import outlive_stops
from pretrain.heartbeat import PAGE, Beat, Page, Phase
from pretrain.run_files import HANG
from pretrain.watchdog.judge import Judge, exchange_s
from pretrain.watchdog.report import HELD, at_fault, details, fate, headline, state_of, take_stacks

LOOK_S = 1.0
FIRST_BEAT_S = 60.0  # for the first rank to be there


def main() -> None:
    """Watch until all ranks have ended; then remove the folder of their page."""
    told = json.loads(sys.argv[1])
    outlive_stops()  # they are meant for the ranks, which may take their time
    folder = Path(told["folder"])
    try:
        Watchdog(folder, Path(told["run_dir"]), told["hang_timeout_s"], told["all_here"], told["kills"]).watch()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Watchdog:
    """Watches the ranks of a page.

    Args:
        folder: of the page and the stacks. run_dir: takes the report.
        hang_timeout_s, all_here: as in `Judge`.
        kills: whether somebody restarts the ranks when one is killed; else they are named and left alone.
    """

    def __init__(self, folder: Path, run_dir: Path, hang_timeout_s: float, all_here: bool, kills: bool) -> None:
        self._folder, self._run_dir, self._kills = folder, run_dir, kills
        self._page = Page(folder / PAGE)
        self._hang_timeout_s, self._all_here = hang_timeout_s, all_here
        self._judge = Judge(hang_timeout_s, LOOK_S, all_here)
        self._handles: dict[int, int] = {}  # process -> what tells it from a later one of the same number
        self._waker = select.poll()
        self._named: set[tuple[int, int]] = set()  # (rank, its last sign): told once
        self._held: set[tuple[int, int]] = set()  # those of them that a debugger held

    def watch(self) -> None:
        """Look, until all that ever gave a sign have ended."""
        looked_s = time.monotonic()
        until_s = looked_s + FIRST_BEAT_S
        self._waker.register(sys.stdin.fileno(), select.POLLIN)
        while True:
            for descriptor, _ in self._waker.poll(LOOK_S * 1000):
                self._waker.unregister(descriptor)  # rank 0 is done, or a process has ended: it wakes once
            now_s = time.monotonic()
            beats = list(self._running())
            if not beats and (self._handles or now_s > until_s):
                return
            self._judge.look(beats, now_s - looked_s)
            looked_s = now_s
            if hanging := self._judge.hanging(beats):
                self._handle(hanging, beats)

    def _running(self) -> Iterator[Beat]:
        """Yield what ranks say that have neither ended nor said that they did."""
        for beat in self._page.beats():
            if beat.pid not in self._handles:
                self._handles[beat.pid] = handle = _handle_of(beat.pid)
                if handle >= 0:
                    self._waker.register(handle, select.POLLIN)
            if beat.phase is not Phase.ENDED and _runs(beat.pid, self._handles[beat.pid]):
                yield beat

    def _handle(self, hanging: list[Beat], beats: list[Beat]) -> None:
        """Name who hangs, with all ranks' stacks, and kill it where that helps."""
        self._forget_released(hanging)
        if all((beat.rank, beat.beat_ns) in self._named for beat in hanging):
            return
        self._named |= {(beat.rank, beat.beat_ns) for beat in hanging}
        states = {beat.rank: state_of(beat.pid) for beat in beats}
        stacks = take_stacks({beat.local_rank: beat.pid for beat in beats}, self._folder)
        by_rank = {beat.rank: stacks[beat.local_rank] for beat in beats}
        now = {beat.rank: beat.beat_ns for beat in self._page.beats()}
        hanging = [beat for beat in at_fault(hanging, states, by_rank) if now[beat.rank] == beat.beat_ns]
        if not hanging:
            return  # it came back meanwhile: the question may have broken what it was asleep in
        held = states[hanging[0].rank] == HELD
        if held:
            self._held |= {(beat.rank, beat.beat_ns) for beat in hanging}
        silent_s = {beat.rank: self._judge.silent_s(beat.rank) for beat in beats}
        then = fate(self._kills, held, None if self._alone(beats) else exchange_s(self._hang_timeout_s))
        head = headline(hanging, silent_s[hanging[0].rank], len(beats), then)
        first = [*hanging, *(beat for beat in beats if beat not in hanging)]
        self._tell(head, details(first, states, by_rank, silent_s))
        if self._kills and not held:
            for beat in hanging:
                _kill(beat.pid, self._handles[beat.pid])
            self._judge = Judge(self._hang_timeout_s, LOOK_S, self._all_here)  # the others have time to see it

    def _forget_released(self, hanging: list[Beat]) -> None:
        """Have a rank that still hangs when its debugger has left it named anew: it is one like any other then."""
        released = {(beat.rank, beat.beat_ns) for beat in hanging if state_of(beat.pid) != HELD} & self._held
        self._held -= released
        self._named -= released

    def _alone(self, beats: list[Beat]) -> bool:
        return self._all_here and len(beats) == 1

    def _tell(self, head: str, rest: str) -> None:
        with contextlib.suppress(OSError):  # nobody may be there to read it
            print(f"watchdog: {head}\n{rest}see {self._run_dir / HANG}", file=sys.stderr, flush=True)
        report = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {head}\n{rest}\n"
        try:
            with (self._run_dir / HANG).open("a", encoding="utf-8") as file:
                file.write(report)
        except OSError as error:  # the disk may be what hangs
            print(f"watchdog: {self._run_dir / HANG}: {error}", file=sys.stderr, flush=True)


def _handle_of(pid: int) -> int:
    """Return a descriptor of this very process where the system has them; -1 elsewhere."""
    with contextlib.suppress(AttributeError, OSError):
        return os.pidfd_open(pid)
    return -1


def _runs(pid: int, handle: int) -> bool:
    if handle >= 0:
        return not select.select([handle], [], [], 0)[0]
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def _kill(pid: int, handle: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        if handle >= 0:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
