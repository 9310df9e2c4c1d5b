"""Follows the files of a run that goes on: what is new in journal.jsonl and hang.txt since this start."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from foundation.errors import InputError
from foundation.files import read_json
from pretrain.json_lines import JsonLines, parse_line, read_lines
from pretrain.metrics.alerts.events import Event, event_of, identity_of, stalls_in
from pretrain.run_files import ATTEMPTS, HANG, JOURNAL, METRICS, read_status

TAIL_BYTES = 1 << 20  # of metrics.jsonl, in which its last line stands


def standing(run_dir: Path) -> dict[str, Any]:
    """Return what the files tell when a start begins, as JSON values: all of that is old.

    To be called by the training itself, before it takes a step: a process of its own would be too late for the first.
    """
    journal, hang = JsonLines(run_dir / JOURNAL), run_dir / HANG
    lines = [line for path in (journal.path, journal.dropped_path) for line in read_lines(path)]
    known = sorted({identity_of(line) for line in lines if event_of(line, run_dir) is not None})
    return {"known": known, "hang_bytes": hang.stat().st_size if hang.exists() else 0}


class Follower:
    """Finds what is new.

    The journal is no file that only grows: going back moves lines out of it, and steps that are done again write them
    again. So a line counts as old where another one told of the same step, whatever file it stands in now.

    Args:
        run_dir: of the run. old: what `standing` gave.
    """

    def __init__(self, run_dir: Path, old: dict[str, Any]) -> None:
        self._run_dir, self._known = run_dir, set(old["known"])
        journal = JsonLines(run_dir / JOURNAL)
        self._journals = Tail(journal.dropped_path), Tail(journal.path)  # a line may be dropped before it was seen
        self._hang = Tail(run_dir / HANG, int(old["hang_bytes"]))
        self.stall: Event | None = None  # the last one

    def new(self) -> Iterator[Event]:
        """Yield what has happened since the last call."""
        for raw in (raw for tail in self._journals for raw in tail.read().splitlines(keepends=True)):
            line = parse_line(raw)
            event = None if line is None else event_of(line, self._run_dir)
            if line is None or event is None or (identity := identity_of(line)) in self._known:
                continue
            self._known.add(identity)
            yield event
        for event in stalls_in(self._hang.read().decode(errors="replace"), self._run_dir):
            self.stall = event
            yield event


class Tail:
    """Reads what is new in a file: all of it where another file has its name now.

    Args:
        path: of it. offset: bytes that are old.
    """

    def __init__(self, path: Path, offset: int = 0) -> None:
        self._path, self._offset, self._inode = path, offset, 0

    def read(self) -> bytes:
        """Return the whole lines that were written since the last call; nothing of a file that isn't there."""
        with contextlib.suppress(FileNotFoundError), self._path.open("rb") as file:
            found = os.fstat(file.fileno())
            if found.st_size < self._offset or self._inode not in (0, found.st_ino):
                self._offset = 0
            self._inode = found.st_ino
            file.seek(self._offset)
            data = file.read()
            data = data[: data.rfind(b"\n") + 1]  # a line that is being written comes next time
            self._offset += len(data)
            return data
        return b""


def status_of(run_dir: Path) -> dict[str, Any]:
    """Return what status.json says; nothing where it can't be read, too: nobody is there to be told of that."""
    with contextlib.suppress(OSError, InputError, ValueError):
        return read_status(run_dir)
    return {}


def last_attempt(run_dir: Path) -> dict[str, Any]:
    """Return what attempts.json tells of the run's last start; nothing where it can't be read."""
    with contextlib.suppress(OSError, InputError, LookupError, TypeError, ValueError):
        return dict(read_json(run_dir / ATTEMPTS)["attempts"][-1])
    return {}


def last_step(run_dir: Path) -> int | None:
    """Return the step of the last line in metrics.jsonl; None where there is none."""
    with contextlib.suppress(OSError), (run_dir / METRICS).open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
        for raw in reversed(file.read().splitlines(keepends=True)):
            line = parse_line(raw)
            if line is not None and isinstance(line.get("step"), int):
                return int(line["step"])
    return None
