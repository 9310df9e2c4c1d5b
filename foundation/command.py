"""What a command of the pipeline does around its work: signals, a scratch folder, errors as exit codes."""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn

from foundation.errors import GroundworkError
from foundation.reader import unread
from foundation.secrets import print_error, print_traceback


def run_command(act: Callable[[Path], int], stopped: str) -> NoReturn:
    """Do the work and exit: with its code, 2 for what users can mend, 1 for a defect (its traceback is printed), 130
    when stopped by Ctrl-C or SIGTERM.

    Args:
        act: is given a scratch folder, returns the exit code.
        stopped: what is said of what was done so far.
    """
    signal.signal(signal.SIGTERM, _stop)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            code = guarded(lambda: act(Path(scratch)))
    except KeyboardInterrupt:
        print(stopped, file=sys.stderr)
        code = 128 + signal.SIGINT
    sys.exit(code)


def guarded(act: Callable[[], int]) -> int:
    """Return the exit code of an act, its errors printed.

    Raises:
        BrokenPipeError: the reader of our output left, which is `reader_may_leave`'s to end with.
    """
    try:
        return act()
    except GroundworkError as error:
        print_error(error)
        return 2
    except Exception as error:
        if isinstance(error, BrokenPipeError) and unread():
            raise
        print_traceback()
        return 1


def _stop(number: int, frame: FrameType | None) -> None:
    """End as by Ctrl-C: leaving the blocks of the work ends its workers and frees its folder."""
    raise KeyboardInterrupt
