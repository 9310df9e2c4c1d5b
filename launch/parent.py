"""A process that is asked to stop when the one that started it dies: killed, that one can't tell it."""

from __future__ import annotations

import ctypes
import signal
import sys

PR_SET_PDEATHSIG = 1  # of prctl(2)
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None  # here: looked up after a fork, a lock might be held


def end_with_parent() -> None:
    """Ask the kernel for a SIGTERM at the parent's death, also over an exec; elsewhere than on Linux nothing does."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
