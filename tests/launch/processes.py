"""What /proc says of the processes below one, and of the sockets that they listen on."""

from __future__ import annotations

import contextlib
import signal
import socket
import struct
from pathlib import Path

LISTENS = "0A"  # the state in /proc/net/tcp


def below(pid: int) -> list[int]:
    """Return the processes that this one has started, and those that they have, zombies left out."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                parents[int(path.parent.name)] = int(parent)
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found[1:]


def command(pid: int) -> str:
    """Return its command line; empty when it has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def ignored(pid: int) -> set[signal.Signals]:
    """Return the signals that it ignores."""
    line = next(it for it in Path(f"/proc/{pid}/status").read_text().splitlines() if it.startswith("SigIgn:"))
    mask = int(line.split()[1], 16)
    return {number for number in signal.Signals if mask >> (number - 1) & 1}


def listening(pids: list[int]) -> dict[int, set[str]]:
    """Return the addresses that each process listens on for TCP connections."""
    addresses: dict[str, str] = {}
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENS:
                addresses[f"socket:[{fields[9]}]"] = _address(fields[1].split(":")[0])
    found: dict[int, set[str]] = {}
    for pid in pids:
        found[pid] = set()
        with contextlib.suppress(OSError):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if address := addresses.get(str(descriptor.readlink())):
                        found[pid].add(address)
    return found


def beyond_loopback(addresses: set[str]) -> set[str]:
    """Return those that another machine could reach."""
    return {
        address for address in addresses if not address.removeprefix("::ffff:").startswith("127.") and address != "::1"
    }


def _address(text: str) -> str:
    words = [int(text[first : first + 8], 16) for first in range(0, len(text), 8)]
    packed = b"".join(struct.pack("=I", word) for word in words)
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)
