"""How much memory a process held at most, how much it holds, how much the machine has.

Resident memory is meant: pages in RAM, those of mapped files among them, which other processes may share.
"""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

_SELF = Path("/proc/self")
_RESET_PEAK = "5"  # proc(5), clear_refs: the peak becomes what is resident now, nothing else changes
_CGROUPS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def reset_peak() -> bool:
    """Let the peak of this process count from now on.

    Returns:
        Whether it does: macOS has no such thing, and some sandboxes refuse it; `peak_bytes` is then that of the
        process's whole life, an upper bound.
    """
    try:
        (_SELF / "clear_refs").write_text(_RESET_PEAK)
    except OSError:
        return False
    return True


def peak_bytes() -> int:
    """Return the most resident memory of this process since `reset_peak`, where that works, else since its start."""
    peak = _status_bytes("VmHWM")
    if peak is not None:
        return peak
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024  # bytes there, kilobytes elsewhere


def resident_bytes() -> int:
    """Return the resident memory of this process now; where the system doesn't say, its peak."""
    resident = _status_bytes("VmRSS")
    return peak_bytes() if resident is None else resident


def machine_bytes() -> int:
    """Return the memory that this process may use: the machine's, or its container's where that is less."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in _CGROUPS:
        try:
            found.append(int(path.read_text()))
        except (OSError, ValueError):  # no such file, or `max`
            continue
    return min(found)


def _status_bytes(field: str) -> int | None:
    """Return a field of /proc/self/status in bytes; None where there is none."""
    try:
        lines = (_SELF / "status").read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith(f"{field}:")]
    return int(found[0]) * 1024 if found else None
