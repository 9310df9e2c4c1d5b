"""The reader of a command's output may leave before its end, as `| head` does, or a terminal that is closed."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import signal
import sys
from collections.abc import Iterator
from typing import Any, TextIO

LEFT = 128 + signal.SIGPIPE  # the exit code that shells give to what this signal ended


@contextlib.contextmanager
def reader_may_leave() -> Iterator[None]:
    """End the process without a word when nobody reads its output any more; to be put around a whole `main`.

    The signal's default action would do the same, and would also end a command whose worker process died.

    Raises:
        SystemExit: the reader left.
        BrokenPipeError: of any other pipe, as it came.
    """
    try:
        try:
            yield
        finally:
            if sys.stdout is not None:  # `>&-`
                sys.stdout.flush()  # here and not at the interpreter's end, which would complain
    except BrokenPipeError:
        left = unread()
        if not left:
            raise
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in left:
            os.dup2(nowhere, stream.fileno())  # for what is still in its buffer
        sys.exit(LEFT)


@contextlib.contextmanager
def terminal_may_close() -> Iterator[None]:
    """Let what a closed terminal would have shown be lost inside this block, and no more than that.

    Every write to it fails (EIO), from shortly before SIGHUP says why: a line that can't be shown ends no command that
    has something to save.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _outliving(sys.stdout), _outliving(sys.stderr)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        sys.stdout, sys.stderr = before


class _Terminal(io.FileIO):
    """A terminal; once it is closed it takes what is written and shows nothing."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return len(data)


def _outliving(stream: Any) -> Any:
    """Return a stream to the same terminal that outlives it; any other stream as it is."""
    if stream is None or not stream.isatty():  # `>&-`
        return stream
    raw = _Terminal(stream.fileno(), "wb", closefd=False)
    seen = {"encoding": stream.encoding, "errors": stream.errors, "line_buffering": True}
    return io.TextIOWrapper(io.BufferedWriter(raw), **seen)


def unread() -> list[TextIO]:
    """Return which of stdout and stderr nobody reads any more."""
    return [stream for stream in (sys.stdout, sys.stderr) if stream is not None and _has_no_reader(stream)]


def _has_no_reader(stream: TextIO) -> bool:
    poll = select.poll()
    poll.register(stream.fileno(), 0)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))
