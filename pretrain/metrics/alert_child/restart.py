"""What becomes of a run whose launcher may start it again: until that start trains, nobody else could tell of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pretrain.json_lines import parse_line
from pretrain.metrics.alerts.events import Event, ended, may_be_started_again, not_trained_again
from pretrain.metrics.alerts.follow import Tail, last_attempt, status_of
from pretrain.run_files import ATTEMPTS, LEDGER

LOOK_S = 1.0
RESTART_S = 300.0  # for a launcher to start a run again, and for that start to train


class Restart:
    """Looks for the run's next starts, from ledger.jsonl and attempts.json.

    A start begins a process for its alerts when it begins to train. One that dies before, while it restores a
    checkpoint or for want of memory, has none.

    Args:
        run_dir: of the run, whose present start trains. wait_s: for each next step. look_s: between two looks.
    """

    def __init__(self, run_dir: Path, wait_s: float = RESTART_S, look_s: float = LOOK_S) -> None:
        ledger = run_dir / LEDGER
        self._run_dir, self._wait_s, self._look_s = run_dir, wait_s, look_s
        self._ledger = Tail(ledger, ledger.stat().st_size if ledger.exists() else 0)
        self._told_s = last_attempt(run_dir).get("started_s")
        self._begins = False  # whether a next start is under way

    def events(self) -> Iterator[Event]:
        """Yield what is to be told after the present start has ended, until one trains or none is to be expected."""
        until_s = time.monotonic() + self._wait_s
        while time.monotonic() < until_s:
            for event in self._new():
                if event == "start":
                    self._begins, until_s = True, time.monotonic() + self._wait_s
                elif self._begins and event == "train":
                    return
                elif self._begins and event == "withdrawn":
                    what = "the run was started again, and that start was refused before it trained; see the console"
                    yield not_trained_again(what, self._run_dir)
                    return
            status = status_of(self._run_dir)
            if status and not may_be_started_again(status):
                yield ended(status, None, False, self._run_dir)
                return
            if failed := self._failed():
                yield failed
                self._begins, until_s = False, time.monotonic() + self._wait_s
            time.sleep(self._look_s)
        yield not_trained_again(self._silence(), self._run_dir)

    def _new(self) -> Iterator[str]:
        for raw in self._ledger.read().splitlines(keepends=True):
            if (line := parse_line(raw)) is not None:
                yield str(line.get("event"))

    def _failed(self) -> Event | None:
        """Return the event of a next start that has ended before it trained, once."""
        attempt = last_attempt(self._run_dir)
        if not self._begins or attempt.get("status") is None or attempt.get("started_s") == self._told_s:
            return None
        self._told_s = attempt.get("started_s")
        return replace(ended(attempt, None, True, self._run_dir), look=(str(self._run_dir / ATTEMPTS),))

    def _silence(self) -> str:
        if self._begins:
            return f"the run was started again, and has not begun to train for {self._wait_s:.0f} s"
        return f"the run was not started again for {self._wait_s:.0f} s"
