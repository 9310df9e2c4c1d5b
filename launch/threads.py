"""How many threads each of several ranks on one machine gets."""

from __future__ import annotations

import os

from foundation.cores import usable_cores

THREADS = "OMP_NUM_THREADS"


def shared_threads(processes: int) -> dict[str, str]:
    """Return what to add to the environment of ranks, so that they share the cores out; empty where the user has."""
    if processes == 1 or THREADS in os.environ:
        return {}
    return {THREADS: str(max(1, usable_cores() // processes))}
