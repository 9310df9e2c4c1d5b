"""The page of a run that goes on: written by a child every few minutes, so that training never waits for it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from foundation.errors import require
from pretrain.run_files import REPORT
from pretrain.seats import Logger

REPOSITORY = Path(__file__).resolve().parents[2]
# in a process of its own, behind all others of the machine, and with no device: reading a million lines takes seconds
# of Python, which in a thread of training would hold it up
WRITE = """
import os, sys
os.nice(19)
os.environ |= {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from pretrain.metrics.report import write_run_report
write_run_report(Path(sys.argv[1]))
"""
END_S = 10.0  # for a child that was asked to end


class LivePage(Logger):
    """Has report.html written anew while the run goes on; its last one the run writes itself.

    Args:
        run_dir: of the run.
        every_s: seconds between two pages; the next one waits for the one before.
    Raises:
        SettingError: `every_s` is not above 0.
    """

    def __init__(self, run_dir: Path, every_s: float = 300.0) -> None:
        require(every_s > 0, "every_s", every_s, "a number above 0; ~logger.loggers.page writes one at the end alone")
        self._run_dir, self._every_s = run_dir, every_s
        self._next_s = time.monotonic() + every_s
        self._child: subprocess.Popen[bytes] | None = None

    def log(self, line: dict[str, Any]) -> None:
        if time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + self._every_s
        if self._child is None or self._child.poll() is not None:
            self._told()
            self._child = self._begin()

    def close(self, status: str) -> None:
        """End a child that is at work: the page that the run writes is newer."""
        if self._child is None:
            return
        if self._child.poll() is None:
            self._child.terminate()
            self._child.wait(END_S)
            (self._run_dir / f".{REPORT}.tmp{self._child.pid}").unlink(missing_ok=True)
        elif self._child.returncode:
            self._told()
        self._child = None

    def _begin(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", WRITE, str(self._run_dir.resolve()), str(REPOSITORY)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C is meant for training, which then ends it
        )

    def _told(self) -> None:
        if self._child is not None and self._child.returncode:
            print(
                f"{self._run_dir / REPORT}: could not be written (exit code {self._child.returncode}); "
                "python launch/report.py run=<this folder> says why",
                file=sys.stderr,
                flush=True,
            )
