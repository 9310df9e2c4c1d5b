"""A process that is asked to stop when the one that started it dies: killed, that one can't tell it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # of prctl(2)
# here, function included: looked up after a fork, another thread of before it might hold the loader's lock for ever
PRCTL = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def end_with_parent(parent: int | None = None) -> None:
    """Ask the kernel for a SIGTERM at the parent's death, also over an exec; elsewhere than on Linux nothing does.

    Args:
        parent: its process number, where that is known: if it has died before, this process ends now.
    """
    if PRCTL is not None:
        PRCTL(PR_SET_PDEATHSIG, signal.SIGTERM)
        if parent is not None and os.getppid() != parent:
            os._exit(128 + signal.SIGTERM)  # after a fork, a SIGTERM would still meet the handler of the parent
