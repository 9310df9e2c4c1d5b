"""journal.jsonl: one JSON line for every decision, durable before the run goes on; what is taken out is kept aside.

A line with `step` belongs to that step of the timeline; one without belongs to the run's folder (a checkpoint that was
passed over) and always stays.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import orjson

from foundation.files import canonical_json, sync_dir, sync_file, write_atomic

JOURNAL = "journal.jsonl"
DROPPED = "journal.dropped.jsonl"


class Journal:
    """Writes one run's journal. Opens nothing before the first line."""

    def __init__(self, run_dir: Path) -> None:
        self._path, self._dropped = run_dir / JOURNAL, run_dir / DROPPED

    def append(self, line: dict[str, Any]) -> None:
        """Append one line and flush it to disk.

        Args:
            line: JSON values; JSON knows no NaN and no infinities: they become the strings metrics.jsonl uses too.
        Raises:
            OSError: the disk is full or gone.
        """
        _append(self._path, canonical_json({key: _valid(value) for key, value in line.items()}) + b"\n")

    def set_aside_from(self, step: int) -> int:
        """Move the lines of `step` and later to journal.dropped.jsonl: these steps are about to be done again.

        A last line that a crash cut short goes with them. After any crash in here each line is in one of the files.

        Returns:
            How many lines were moved.
        """
        lines = self._raw_lines()
        kept = [line for line in lines if _stays(line, step)]
        moved = [line for line in lines if not _stays(line, step)]
        if moved:
            _append(self._dropped, b"".join(line.rstrip(b"\n") + b"\n" for line in moved))
            write_atomic(self._path, b"".join(kept))
        return len(moved)

    def lines(self) -> list[dict[str, Any]]:
        """Return all whole lines, oldest first."""
        return [line for line in map(_parse, self._raw_lines()) if line is not None]

    def _raw_lines(self) -> list[bytes]:
        return self._path.read_bytes().splitlines(keepends=True) if self._path.exists() else []


def _append(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(data)
    sync_file(path)
    sync_dir(path.parent)


def _stays(line: bytes, step: int) -> bool:
    content = _parse(line)
    if content is None:
        return False
    written = content.get("step")
    return not isinstance(written, int) or written < step


def _parse(line: bytes) -> dict[str, Any] | None:
    """Return a line's content; None when it is cut short or no JSON object."""
    try:
        content = orjson.loads(line) if line.endswith(b"\n") else None
    except orjson.JSONDecodeError:
        return None
    return content if isinstance(content, dict) else None


def _valid(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value
