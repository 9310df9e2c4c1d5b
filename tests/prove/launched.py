"""A real run under a real launcher: torchrun, or the one of this project that opens no port."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
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

MARK = "GROUNDWORK_PROVE_RUN"


class Launched:
    """The long run of two ranks under a real launcher, in a session of its own; left, nothing of it is alive.

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
        self._mark = f"{MARK}={self.run_dir}"  # all that comes of it inherits it, in whatever session
        with self._output.open("w") as output:
            self.process = subprocess.Popen(
                command,
                cwd=bench.folder,
                env=one_thread() | {MARK: str(self.run_dir)},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def __enter__(self) -> Launched:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.run_dir, ignore_errors=True)

    def kill(self) -> None:
        """Kill all that is left of it; where there is no /proc, its launcher's group."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        while left := self.alive():
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.poll()
            time.sleep(0.02)
        self.process.wait()

    def alive(self) -> list[int]:
        """Return the processes that came of it and are there: launcher, ranks, watchdog, a logger's child."""
        return [int(path.name) for path in Path("/proc").glob("[0-9]*") if self._is_ours(path)]

    def _is_ours(self, process: Path) -> bool:
        try:
            return self._mark.encode() in (process / "environ").read_bytes().split(b"\0")  # a zombie's is empty
        except OSError:
            return False

    @property
    def text(self) -> str:
        return self._output.read_text(errors="replace")

    def lines(self) -> int:
        """Return how many steps it has printed."""
        return self.text.count("\nstep ")

    @property
    def starts(self) -> int:
        """How often its ranks have begun."""
        return len(re.findall("^run: ", self.text, re.MULTILINE))

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
        """Wait until it has printed these words, or has ended without them.

        Raises:
            AssertionError: it does neither in time.
        """
        until_s = time.monotonic() + WAIT_S
        while words not in self.text and self.process.poll() is None:
            assert time.monotonic() < until_s, self.text
            time.sleep(0.01)

    def wait(self) -> int:
        """Wait for its end; return the launcher's exit code.

        Raises:
            TimeoutExpired: it doesn't end.
        """
        return self.process.wait(timeout=WAIT_S)
