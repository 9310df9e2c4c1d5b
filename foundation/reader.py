"""The reader of a command's output may leave before its end, as `| head` does."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from collections.abc import Iterator
from typing import TextIO

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
        left = [stream for stream in (sys.stdout, sys.stderr) if stream is not None and _has_no_reader(stream)]
        if not left:
            raise
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in left:
            os.dup2(nowhere, stream.fileno())  # for what is still in its buffer
        sys.exit(LEFT)


def _has_no_reader(stream: TextIO) -> bool:
    poll = select.poll()
    poll.register(stream.fileno(), 0)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))
