"""The shim that stands between a run and the C library: built once, armed by Python that the run executes first."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

WRITE, FLUSH, RENAME, REMOVE, MAKE = 1, 2, 4, 8, 16
ALL = WRITE | FLUSH | RENAME | REMOVE | MAKE
NEVER = 10**9  # a call that no run gets to
KILL = 0


def build_shim(folder: Path) -> Path:
    """Compile shim.c into `folder`.

    Raises:
        CalledProcessError: the compiler refuses it.
    """
    library = folder / "shim.so"
    source = Path(__file__).with_name("shim.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(source), "-ldl"], check=True)
    return library


def armed(folder: Path, number: int, log: Path, kinds: int = ALL, error: int = KILL, ever: bool = False) -> str:
    """Return Python that arms the shim.

    Args:
        folder: below which calls count.
        number: of the call, from 0, that the process dies before, or that fails.
        log: takes a line for each call that counted.
        kinds: which count. error: KILL, or the errno with which the call fails. ever: so do all that follow.
    """
    below, into = os.fsencode(folder.resolve()), os.fsencode(log)
    return (
        "import ctypes\n"
        f"ctypes.CDLL(None).prove_arm({below!r}, ctypes.c_long({number}), {kinds}, {error}, {int(ever)}, {into!r})\n"
    )


def remembering(folder: Path, store: Path) -> str:
    """Return Python that remembers in `store` what is flushed from now on; what is in `folder` counts as flushed."""
    return (
        "import os\nfrom pathlib import Path\nfrom tests.disk import Disk\n"
        f"disk, flush = Disk(Path({str(store)!r})), os.fsync\n"
        f"disk.settle(Path({str(folder.resolve())!r}))\n"
        "def fsync(descriptor):\n    flush(descriptor)\n    disk.fsync(descriptor)\n"
        "os.fsync = fsync\n"
    )


def calls_in(log: Path) -> list[str]:
    """Return the calls that counted, e.g. `rename /checkpoints/step_00000006`."""
    return log.read_text().splitlines() if log.exists() else []


def told(error: int) -> tuple[str, ...]:
    """Return the words by which a message may tell an errno."""
    return (os.strerror(error), errno.errorcode[error])
