"""What a worker process took: its memory at most, its processor time."""

from __future__ import annotations

import os
from dataclasses import dataclass

from foundation.memory import peak_bytes, reset_peak, resident_bytes


@dataclass(frozen=True, slots=True)
class Usage:
    """What one process took in some span of time.

    Attributes:
        peak_bytes: most resident memory; of the whole life of the process where the system can't count anew.
        held_bytes: resident memory at the end: a worker that has nothing to do keeps it.
        cpu_s: processor time, that of the children that ended meanwhile included.
    """

    peak_bytes: int = 0
    held_bytes: int = 0
    cpu_s: float = 0.0

    def __add__(self, later: Usage) -> Usage:
        return Usage(max(self.peak_bytes, later.peak_bytes), later.held_bytes, self.cpu_s + later.cpu_s)

    def idle(self) -> Usage:
        """Return what the same process takes as long as it has nothing to do."""
        return Usage(self.held_bytes, self.held_bytes)


class Watched:
    """Counts from its making on; `usage` tells what this process took since."""

    def __init__(self) -> None:
        reset_peak()
        self._cpu_s = _cpu_s()

    def usage(self) -> Usage:
        """Return what this process took since."""
        return Usage(peak_bytes(), resident_bytes(), _cpu_s() - self._cpu_s)


def _cpu_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
