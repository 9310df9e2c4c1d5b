"""The repository's quick tests, run before a training that asks for them: trainer.preflight=full."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TextIO

from foundation.cores import usable_cores
from foundation.errors import ConfigError
from pretrain.debug.errors import NotCleared
from pretrain.debug.pulse import Pulse
from pretrain.debug.stops import ended_by_stops
from pretrain.torchrun import RESTARTS, is_launched, is_worker

REPOSITORY = Path(__file__).resolve().parent.parent
TESTS = REPOSITORY / "tests" / "pretrain"  # of what trains
TIMEOUT_S = 480.0  # the other ranks wait 600 s for the first one
MOST_WORKERS = 4  # each takes up to 1.5 GB
SHOWN_LINES = 12
LOOK_EVERY_S = 0.1
# of a rank's environment: tests start ranks of their own
OF_A_RANK = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "ROLE_RANK", "ROLE_WORLD_SIZE")
OF_LAUNCHERS = ("TORCHELASTIC_", "MASTER_", "GROUNDWORK_")


def is_first_process() -> bool:
    """Return whether this process is the one that runs them: what the user typed, before any rank waits for it.

    Under a torchrun that the user typed it is rank 0 of the first start; what a launcher of ours starts has had them.
    """
    if is_launched():
        return False
    return not is_worker() or (os.environ["RANK"] == "0" and not int(os.environ.get(RESTARTS, 0)))


def require_green(tests: Path = TESTS) -> None:
    """Run the quick tests to the first that fails.

    Args:
        tests: their folder.
    Raises:
        NotCleared: one fails, or they take too long. ConfigError: pytest is not installed. LookStopped: a stop was
            asked for.
    """
    if importlib.util.find_spec("pytest") is None:
        raise ConfigError(
            "trainer.preflight: full runs the repository's tests, and pytest is not installed; pip install -e '.[dev]' "
            "in the clone, or set trainer.preflight=short"
        )
    print(
        f"preflight: first the quick tests of {tests}: as a rule some minutes; trainer.preflight=short has none",
        flush=True,
    )
    workers = min(usable_cores(), MOST_WORKERS)
    apart = ["-n", str(workers)] if importlib.util.find_spec("xdist") and workers > 1 else []
    marked = ["-x", "-m", "not slow and not gpu"]
    command = [sys.executable, "-m", "pytest", "-c", str(REPOSITORY / "pyproject.toml"), *marked, *apart, str(tests)]
    code, output = run_to_its_end(command)
    lines = [line for line in output.splitlines() if line.strip()]
    if code:
        shown = "\n".join(lines[-SHOWN_LINES:])
        raise NotCleared(
            "trainer.preflight: a quick test fails, so nothing is trained; mend it, or set trainer.preflight=short:\n"
            f"{shown}"
        )
    print(f"preflight: {lines[-1].strip('= ')}", flush=True)


def run_to_its_end(command: list[str]) -> tuple[int, str]:
    """Run the tests and say every few seconds how far they are; return exit code and output.

    Raises:
        NotCleared: they take too long. LookStopped: a stop was asked for; it ends them.
    """
    environment = {name: value for name, value in os.environ.items() if name not in OF_A_RANK}
    environment = {name: value for name, value in environment.items() if not name.startswith(OF_LAUNCHERS)}
    pulse = Pulse(shows=True)
    pulse.begin("the quick tests")
    with tempfile.TemporaryFile("w+") as output, ended_by_stops():
        # a session of its own: what they start ends with them
        process = subprocess.Popen(
            command, cwd=REPOSITORY, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            began_s = time.monotonic()
            while process.poll() is None:
                if time.monotonic() - began_s > TIMEOUT_S:
                    raise NotCleared(
                        f"trainer.preflight: the quick tests took more than {TIMEOUT_S:.0f} s; run `make check` by "
                        "itself, and set trainer.preflight=short"
                    )
                time.sleep(LOOK_EVERY_S)
                pulse.beat(share_done(output))
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        output.seek(0)
        return process.returncode, output.read()


def share_done(output: TextIO) -> str:
    """Return how far pytest says that it is, `45 % done`; empty where it has said nothing yet."""
    written = os.pread(output.fileno(), 1 << 20, 0).decode(errors="replace")
    shares = re.findall(r"\[ *(\d+)%\]", written)
    return f"{shares[-1]} % done" if shares else ""
