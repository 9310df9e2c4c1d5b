"""Files of JSON lines: one object per line, readable by every JSON parser; going back moves lines aside, none is lost.

JSON has no NaN and no infinity (Python's own `json` writes them bare and other parsers then fail, orjson writes null
and the value is lost): such a value is the string "NaN", "Infinity" or "-Infinity".
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from foundation.files import replacing, sync_dir

# The last line of those that were dropped together ends so: JSON may have spaces around it, and no parser sees it.
BLOCK_END = b" \n"


class JsonLines:
    """One such file; opened at the first line. A line with `step` belongs to that step, one without to the folder.

    A line is one `write` of the kernel: a killed process loses none. `sync` makes them durable.

    Args:
        path: the file; what is dropped goes to `<stem>.dropped.jsonl` beside it.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.dropped_path = path, path.with_suffix(".dropped.jsonl")
        self._descriptor: int | None = None

    @property
    def is_closed(self) -> bool:
        return self._descriptor is None

    def append(self, line: dict[str, Any], durable: bool = False) -> None:
        """Write one line; where a crash left a torn one, on a line of its own.

        Args:
            line: JSON values, NumPy scalars and floats of any kind among them.
            durable: flush it to disk, and close the file again: for rare lines that others count on.
        Raises:
            OSError: the disk is full or gone.
        """
        data = json_line(line)
        if self._descriptor is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            data = (b"" if _ends_whole(self.path) else b"\n") + data
            self._descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        if os.write(self._descriptor, data) < len(data):  # the kernel took what there was room for
            self.close()  # the next line then looks how the file ends
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        if durable:
            self.sync()
            self.close()

    def sync(self) -> None:
        """Make every line written durable."""
        if self._descriptor is not None:
            os.fsync(self._descriptor)
            sync_dir(self.path.parent)

    def close(self) -> None:
        """Close the file; another line opens it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def drop_after(self, step: int) -> int:
        """Move the lines of later steps, and what a crash left torn, to the file of dropped lines.

        Args:
            step: the last one whose lines stay; lines without a step stay too.
        Returns:
            The last step that the file holds; 0 when it holds none.
        """
        return self.drop(lambda line: (found := _step_of(line)) is not None and found > step)

    def drop(self, is_dropped: Callable[[dict[str, Any]], bool]) -> int:
        """Move lines, and what a crash left torn, to the file of dropped lines, which `read_blocks` reads together.

        A crash inside leaves a line in both files at worst, never in none.

        Args:
            is_dropped: whether a line goes.
        Returns:
            The last step that the file holds; 0 when it holds none.
        """
        self.close()
        if not self.path.exists():
            return 0
        last, gone = 0, b""
        with replacing(self.path) as path, contextlib.ExitStack() as stack:
            whole, kept = stack.enter_context(self.path.open("rb")), stack.enter_context(path.open("wb"))
            dropped = stack.enter_context(self.dropped_path.open("ab"))
            if not _ends_whole(self.dropped_path):
                dropped.write(b"\n")
            for raw in whole:
                line = parse_line(raw)
                if line is not None and not is_dropped(line):
                    kept.write(raw)
                    last = _step_of(line) or last
                    continue
                dropped.write(gone)
                gone = json_line({"torn": raw.decode(errors="backslashreplace")}) if line is None else raw
            if gone:
                dropped.write(gone.removesuffix(b"\n") + BLOCK_END)
            dropped.flush()
            os.fsync(dropped.fileno())  # before the rename: what leaves the one file is safe in the other
            sync_dir(self.path.parent)
        if not self.dropped_path.stat().st_size:
            self.dropped_path.unlink()
        return last


def json_line(line: dict[str, Any]) -> bytes:
    """Return one line of JSON with its newline; floats that JSON does not know as their names.

    Args:
        line: JSON values, NumPy scalars allowed.
    """
    return orjson.dumps(spelled(line), option=orjson.OPT_APPEND_NEWLINE)


def parse_line(raw: bytes) -> dict[str, Any] | None:
    """Return a line's content; None when it is cut short or no JSON object."""
    try:
        content = orjson.loads(raw) if raw.endswith(b"\n") else None
    except orjson.JSONDecodeError:
        return None
    return content if isinstance(content, dict) else None


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a file; what is no line (a torn end) is passed over. None are in a file that isn't there."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        yield from (line for line in map(parse_line, file) if line is not None)


def lines_from_end(path: Path, block_bytes: int = 1 << 20) -> Iterator[bytes]:
    """Yield the lines of a file, the last one first, as they stand there; a torn end is passed over.

    What is read of a long file is what is taken of it, to a block. None are in a file that isn't there.

    Args:
        block_bytes: read at once.
    """
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        at = file.seek(0, os.SEEK_END)
        rest: list[bytes] = []  # of the line whose beginning has not been read, the newest piece first
        is_whole = False  # whether a newline has been read: what stands behind the last one is torn
        while at:
            size = min(block_bytes, at)
            at -= size
            file.seek(at)
            first, *others = file.read(size).split(b"\n")
            while others:
                line = others.pop() + b"".join(reversed(rest))
                if is_whole:
                    yield line + b"\n"
                rest, is_whole = [], True
            rest.append(first)
        if is_whole:
            yield b"".join(reversed(rest)) + b"\n"


def read_blocks(path: Path) -> Iterator[list[dict[str, Any]]]:
    """Yield the lines of a file of dropped ones, those that were dropped together in a list.

    A version that did not mark their end told them apart by their steps alone: where one does not follow on the one
    before, another list begins, too.
    """
    block: list[dict[str, Any]] = []
    ends = False
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        for raw in file:
            line = parse_line(raw)
            if line is None or (step := _step_of(line)) is None:
                ends |= raw.endswith(BLOCK_END)
                continue
            if block and (ends or step != block[-1]["step"] + 1):
                yield block
                block = []
            block.append(line)
            ends = raw.endswith(BLOCK_END)
    if block:
        yield block


def _step_of(line: dict[str, Any]) -> int | None:
    step = line.get("step")
    return step if type(step) is int else None


def _ends_whole(path: Path) -> bool:
    if not path.exists() or not path.stat().st_size:
        return True
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def spelled(value: Any) -> Any:
    """Return JSON values as a line has them: what is not finite by its name, NumPy scalars as Python's."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, dict):
        return {key: spelled(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [spelled(item) for item in value]
    return value
