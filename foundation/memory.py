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
_CGROUPS = Path("/sys/fs/cgroup")
_LIMIT, _LIMIT_V1 = "memory.max", "memory.limit_in_bytes"  # in the folder of a group; the controller `memory` of v1


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
    """Return the memory that this process may use: the machine's, or where that is less the least limit of the control
    groups that it is in, those of its container, its batch job or its systemd unit, and of all groups around them.

    Source: cgroups(7), /proc/pid/cgroup; the kernel's cgroup-v2.rst (memory.max) and cgroup-v1/memory.rst.
    """
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in _limits():
        try:
            found.append(int(path.read_text()))
        except (OSError, ValueError):  # no such file, or `max`
            continue
    return min(found)


def _limits() -> list[Path]:
    """Return where the limits of this process's control groups may stand, from its own upward.

    Inside a container the path may be the host's, of which nothing is seen but the top, the container's own.
    """
    try:
        lines = (_SELF / "cgroup").read_text().splitlines()
    except OSError:
        lines = []
    inner = {"": "/", "memory": "/"}  # controller -> path; v2 has one tree, without a name
    for line in lines:
        _, controllers, path = line.split(":", 2)
        inner |= {name: path for name in controllers.split(",") if name in inner}
    files = []
    for controller, mount, name in (("", "", _LIMIT), ("", "unified", _LIMIT), ("memory", "memory", _LIMIT_V1)):
        steps = [step for step in inner[controller].split("/") if step not in ("", "..")]
        files += [_CGROUPS / mount / "/".join(steps[:num]) / name for num in range(len(steps), -1, -1)]
    return files


def _status_bytes(field: str) -> int | None:
    """Return a field of /proc/self/status in bytes; None where there is none."""
    try:
        lines = (_SELF / "status").read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith(f"{field}:")]
    return int(found[0]) * 1024 if found else None
