"""A class of a user's own, admitted by extra_targets: what a test makes go wrong in one rank, at one step."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from pathlib import Path

from pretrain.mesh import Mesh
from pretrain.seats import Profiler


class Fault(Profiler):
    """Strikes after a step, once in a run unless `always`.

    Args:
        what: kill, stop (SIGSTOP), hold_lock (hangs with the interpreter's lock held), fail, or wait for a file `go`.
        at_step: after which step. mesh: of the rank. rank: the one that it strikes. always: in each start anew.
    """

    def __init__(self, what: str, at_step: int, mesh: Mesh, rank: int = 1, always: bool = False) -> None:
        self._does = getattr(self, f"_{what}")
        self._at_step, self._strikes, self._always = at_step, mesh.rank == rank, always

    def step(self, step: int) -> None:
        struck = Path("struck")
        if self._strikes and step == self._at_step and (self._always or not struck.exists()):
            struck.with_suffix(".new").write_text(str(os.getpid()))
            struck.with_suffix(".new").rename(struck)
            self._does()

    def close(self) -> None:
        pass

    def _kill(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def _stop(self) -> None:
        os.kill(os.getpid(), signal.SIGSTOP)

    def _hold_lock(self) -> None:
        while True:  # a signal ends a sleep early
            ctypes.PyDLL(None).sleep(60)

    def _fail(self) -> None:
        raise ConnectionError("https://me:canary@host/x is away")

    def _wait(self) -> None:
        while not Path("go").exists():
            time.sleep(0.01)
