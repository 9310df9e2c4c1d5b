"""A real run under a real launcher: torchrun, or the one of this project that opens no port."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.lines import one_thread
from tests.prove.bench import LONG, TRAIN, WAIT_S, Bench

Launcher = list[str]  # the command up to --max-restarts
TORCHRUN: Launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={LONG.ranks}"]
LOCAL: Launcher = ["-m", "launch.local", f"--processes={LONG.ranks}"]


class Launched:
    """The long run of two ranks under a real launcher, in a session of its own.

    Args:
        launcher: TORCHRUN or LOCAL. max_restarts: how often it starts the ranks again.
        before: Python that each rank executes first. more: further overrides.
    Attributes:
        run_dir: of its run. ranks: the processes of the ranks.
    """

    def __init__(
        self, bench: Bench, launcher: Launcher, max_restarts: int = 0, before: str = "", more: Sequence[str] = ()
    ) -> None:
        self.run_dir, self._output, script = bench.new_run(), bench.new_file(), bench.new_file()
        script.write_text(f"{before}\nimport runpy\nrunpy.run_path({str(TRAIN)!r}, run_name='__main__')\n")
        start = [sys.executable, *launcher, f"--max-restarts={max_restarts}", str(script)]
        command = [*start, *bench.arguments(LONG, self.run_dir), *more]
        with self._output.open("w") as output:
            self.process = subprocess.Popen(
                command, cwd=bench.folder, env=one_thread(), stdout=output, stderr=output, start_new_session=True
            )

    @property
    def text(self) -> str:
        return self._output.read_text(errors="replace")

    def lines(self) -> int:
        """Return how many steps it has printed."""
        return self.text.count("\nstep ")

    @property
    def ranks(self) -> list[int]:
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return sorted(map(int, path.read_text().split())) if path.exists() else []

    def wait_for_step(self, after: int = 0) -> float:
        """Wait until more than `after` steps are printed; return when that was."""
        until_s = time.monotonic() + WAIT_S
        while self.lines() <= after and self.process.poll() is None:
            assert time.monotonic() < until_s, self.text
            time.sleep(0.005)
        return time.monotonic()

    def wait_for(self, words: str) -> None:
        """Wait until it has printed these words."""
        while words not in self.text and self.process.poll() is None:
            time.sleep(0.01)

    def wait(self) -> int:
        return self.process.wait(timeout=WAIT_S)


def alive(pid: int) -> bool:
    """Return whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
