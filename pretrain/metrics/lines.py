"""metrics.jsonl: one JSON object per step, readable by every JSON parser, steps strictly rising.

JSON has no NaN and no infinity (Python's own `json` writes them bare and other parsers then fail, orjson writes null
and the value is lost): such a value is the string "NaN", "Infinity" or "-Infinity"; `read_metrics` gives floats back.

A line is one `write` of the kernel: a killed process loses none. `sync` makes them durable before a checkpoint counts
on them: a machine that loses power keeps every line up to its newest checkpoint, the resumed run writes the rest.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from foundation.files import replacing, sync_dir

NAME = "metrics.jsonl"
DROPPED = "metrics.dropped.jsonl"
NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class MetricsFile:
    """The metrics file of one run; opened at the first line."""

    def __init__(self, run_dir: Path) -> None:
        """Args:
        run_dir: of the run; the file is metrics.jsonl in it.
        """
        self._path, self._dropped = run_dir / NAME, run_dir / DROPPED
        self._descriptor: int | None = None

    def append(self, line: dict[str, Any]) -> None:
        """Write one line. At the first, lines of its step and later (an attempt without a checkpoint) move aside.

        Args:
            line: JSON values, floats of any kind among them; `step` (steps finished with it) is above the last line's.
        """
        if self._descriptor is None:
            self.resume(int(line["step"]) - 1)
        assert self._descriptor is not None
        data = json_line(line)
        if os.write(self._descriptor, data) < len(data):  # the kernel took what there was room for
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))

    def resume(self, step: int) -> int:
        """Go on after `step` finished steps: later lines, and what a crash left torn, move to metrics.dropped.jsonl.

        A crash inside leaves a line in both files at worst, never in none.

        Returns:
            The last step that the file holds; 0 when it holds none.
        """
        self.close()
        last = self._move_after(step) if self._path.exists() else 0
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        return last

    def sync(self) -> None:
        """Make every line written durable."""
        if self._descriptor is not None:
            os.fsync(self._descriptor)
            sync_dir(self._path.parent)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _move_after(self, step: int) -> int:
        last, dropped = 0, 0
        with replacing(self._path) as kept_path, contextlib.ExitStack() as stack:
            kept = stack.enter_context(kept_path.open("wb"))
            aside = stack.enter_context(self._dropped.open("ab"))
            for raw in stack.enter_context(self._path.open("rb")):
                found = _step_of(raw)
                if found is not None and last < found <= step:
                    kept.write(raw)
                    last = found
                else:
                    aside.write(raw if found is not None else _torn(raw))
                    dropped += 1
            aside.flush()
            os.fsync(aside.fileno())  # before the rename: what leaves the one file is safe in the other
        if not dropped and not self._dropped.stat().st_size:
            self._dropped.unlink()
        return last


def json_line(line: dict[str, Any]) -> bytes:
    """Return one line of JSON with its newline; floats that JSON does not know as their names.

    Args:
        line: JSON values, NumPy scalars allowed.
    """
    return orjson.dumps(_spelled(line), option=orjson.OPT_APPEND_NEWLINE)


def read_metrics(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a metrics file, spelled floats as floats again; what is no line (a torn end) is passed over.

    A top-level string that is exactly "NaN", "Infinity" or "-Infinity" reads as a float: no field there is a text.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        for raw in file:
            if _step_of(raw) is not None:
                pairs = orjson.loads(raw).items()
                yield {key: NON_FINITE.get(value, value) if isinstance(value, str) else value for key, value in pairs}


def _spelled(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, dict):
        return {key: _spelled(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_spelled(item) for item in value]
    return value


def _step_of(raw: bytes) -> int | None:
    if not raw.endswith(b"\n"):
        return None
    try:
        line = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    step = line.get("step") if isinstance(line, dict) else None
    return step if type(step) is int else None


def _torn(raw: bytes) -> bytes:
    return orjson.dumps({"torn": raw.decode(errors="backslashreplace")}, option=orjson.OPT_APPEND_NEWLINE)
