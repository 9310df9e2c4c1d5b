"""Starts the ranks of one machine and starts them again: launcher=local, a torchrun that opens no port.

`python -m launch.local --processes=2 launch/train.py ...`. The ranks meet at a file in a folder that is theirs alone.
Imports no torch.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

from foundation.stops import handling
from launch.exit_codes import CRASH_LOOP, STOPPED
from launch.threads import shared_threads
from pretrain.signals import ECHO_S, HANDED_ON
from pretrain.torchrun import FILE_STORE, MAX_RESTARTS, PARENT, RESTARTS

LOOK_S = 0.1  # between two looks at who has ended
GRACE_S = 30.0  # for the others when one has failed: they can't go on, but rank 0 may still write how the run ended
MEANT = (STOPPED, CRASH_LOOP)  # exit codes of a rank that another start would not change


def main() -> int:
    """Run the ranks to their end; return the exit code of the first that failed, else 0."""
    parser = argparse.ArgumentParser(prog="python -m launch.local", description=__doc__)
    parser.add_argument("--processes", type=int, required=True, help="ranks")
    parser.add_argument(
        "--max-restarts", type=int, default=0, help="how often all ranks are started again when one fails"
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, help="a Python script and its arguments")
    given = parser.parse_args()
    if given.processes < 1 or not given.command:
        parser.error("give --processes=<1 or more> and a script")
    return Ranks(given.processes, given.max_restarts, given.command).run()


class Ranks:
    """The ranks of one run.

    Args:
        processes: how many. max_restarts: how often they are started again when one fails.
        command: a Python script and its arguments.
    """

    def __init__(self, processes: int, max_restarts: int, command: list[str]) -> None:
        self._processes, self._max_restarts, self._command = processes, max_restarts, command
        self._ranks: list[subprocess.Popen[bytes]] = []
        self._stopped_s: float | None = None

    def run(self) -> int:
        """Run them to their end, again when one fails; return the first failed one's exit code."""
        with handling(HANDED_ON, self._hand_on):
            for restarts in range(self._max_restarts + 1):
                with tempfile.TemporaryDirectory(prefix="groundwork-") as folder:  # 0700
                    store = Path(folder) / "store"
                    code = self._run_once(store, restarts)
                    refused = store.with_name("store.refused").exists()
                if code == 0 or refused or code in MEANT or self._stopped_s is not None:
                    break
                if restarts < self._max_restarts:
                    number = f"{restarts + 1} of {self._max_restarts}"
                    _say(f"all ranks are started again (restart {number}) and go on from the newest checkpoint")
        return code

    def _run_once(self, store: Path, restarts: int) -> int:
        self._ranks = []
        try:
            for rank in range(self._processes):
                self._ranks.append(self._start(rank, store, restarts))
            if self._stopped_s is not None:  # a rank that was not there yet has not heard it
                self._send(signal.SIGTERM)
            return self._wait()
        finally:
            self._end()

    def _start(self, rank: int, store: Path, restarts: int) -> subprocess.Popen[bytes]:
        place: dict[str, object] = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, RESTARTS: restarts}
        place |= {"WORLD_SIZE": self._processes, "LOCAL_WORLD_SIZE": self._processes}
        place |= {MAX_RESTARTS: self._max_restarts, FILE_STORE: store, PARENT: os.getpid()}
        environment = os.environ | shared_threads(self._processes) | {name: str(it) for name, it in place.items()}
        # a session of its own: what the terminal sends comes through this process, once
        return subprocess.Popen([sys.executable, *self._command], env=environment, start_new_session=True)

    def _wait(self) -> int:
        """Return when all have ended well, or the first hasn't."""
        while True:
            codes = [rank.poll() for rank in self._ranks]
            if failed := [(rank, code) for rank, code in enumerate(codes) if code]:
                # of several within one look: one that was killed is the cause, one that left may be what came of it
                return self._failed(*next((each for each in failed if each[1] < 0), failed[0]))
            if None not in codes:
                return 0
            time.sleep(LOOK_S)

    def _failed(self, rank: int, code: int) -> int:
        if code < 0 and not (code == -signal.SIGTERM and self._stopped_s is not None):  # what was asked is no news
            _say(f"rank {rank} (process {self._ranks[rank].pid}) was killed by {signal.Signals(-code).name}")
        return code if code > 0 else 128 - code

    def _end(self) -> None:
        """Leave no rank behind: ask, wait, kill."""
        self._send(signal.SIGTERM)
        until_s = time.monotonic() + GRACE_S
        while self._running() and time.monotonic() < until_s:
            time.sleep(LOOK_S)
        self._send(signal.SIGKILL)
        for rank in self._ranks:
            rank.wait()

    def _running(self) -> list[subprocess.Popen[bytes]]:
        return [rank for rank in self._ranks if rank.poll() is None]

    def _hand_on(self, number: int, _: FrameType | None) -> None:
        again = self._stopped_s is not None and time.monotonic() - self._stopped_s > ECHO_S
        if self._stopped_s is None:
            self._stopped_s = time.monotonic()
        as_it_is = number in (signal.SIGQUIT, signal.SIGUSR1) or (again and number == signal.SIGINT)
        self._send(signal.Signals(number) if as_it_is else signal.SIGTERM)

    def _send(self, number: signal.Signals) -> None:
        for rank in self._running():
            rank.send_signal(number)


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        print(f"launcher: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
