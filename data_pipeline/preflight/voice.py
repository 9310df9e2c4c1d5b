"""What a probe says: each line under its label, and none that leads to a file that will be gone."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from typing import TextIO


class _Prefixed(io.TextIOBase):
    def __init__(self, out: TextIO, prefix: str, hidden: str) -> None:
        self._out, self._prefix, self._hidden = out, prefix, hidden
        self._line = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            if self._hidden not in line:
                self._out.write(f"{self._prefix}{line}\n")
        return len(text)

    def flush(self) -> None:
        self._out.flush()

    def finish(self) -> None:
        """Write the last line, where no newline ended it."""
        if self._line:
            self.write("\n")
        self.flush()


@contextlib.contextmanager
def prefixed(prefix: str, hidden: str) -> Iterator[None]:
    """Let what this process says on stderr begin with a prefix, line by line.

    Args:
        hidden: a line that holds this is left out.
    """
    voice = _Prefixed(sys.stderr, prefix, hidden)
    with contextlib.redirect_stderr(voice):
        try:
            yield
        finally:
            voice.finish()
