"""What a fault needs of the machine or of the product, and why it is not there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
CONF = REPOSITORY / "conf"
INSIDE = "GROUNDWORK_PROVE_INSIDE"  # set in a prover that has mounts of its own


def missing(need: str) -> str:
    """Return why `need` is not there; empty when it is."""
    return NEEDS[need]()


def enter_own_mounts() -> None:
    """Start this program again where its mounts are its own, if the system lets it: a kill leaves none behind."""
    if INSIDE in os.environ or sys.platform != "linux" or shutil.which("unshare") is None:
        return
    prefix = ["unshare", "--mount", "--propagation", "private"] + (["--map-root-user"] if os.getuid() else [])
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        return
    os.environ[INSIDE] = "1"
    os.execvp(prefix[0], [*prefix, sys.executable, "-m", "tests.prove", *sys.argv[1:]])


def _mounts() -> str:
    return "" if INSIDE in os.environ else "mounts of its own: Linux with `unshare`, as root or with user namespaces"


def _shim() -> str:
    if sys.platform != "linux":
        return "Linux: calls are counted with LD_PRELOAD"
    return "" if shutil.which("cc") else "a C compiler: `cc` builds the shim that counts calls"


def _proc() -> str:
    return "" if Path("/proc/self/fd").is_dir() else "/proc, which tells processes and descriptors"


NEEDS: dict[str, Callable[[], str]] = {
    "mounts": _mounts,
    "shim": _shim,
    "proc": _proc,
}
