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
    """Strikes after a step, once in a run unless `always`; the file `struck<step>` then holds the process's number.

    Args:
        what: each of them kill, stop (SIGSTOP), hold_lock (hangs with the interpreter's lock held), fail, or wait for a
            file `go`.
        at_steps: after which step, each. mesh: of the rank. rank: the one that it strikes. always: in each start anew.
    """

    def __init__(self, what: list[str], at_steps: list[int], mesh: Mesh, rank: int = 1, always: bool = False) -> None:
        self._does = {step: getattr(self, f"_{word}") for step, word in zip(at_steps, what, strict=True)}
        self._strikes, self._always = mesh.rank == rank, always

    def step(self, step: int) -> None:
        struck = Path(f"struck{step}")
        if self._strikes and step in self._does and (self._always or not struck.exists()):
            struck.with_suffix(".new").write_text(str(os.getpid()))
            struck.with_suffix(".new").rename(struck)
            self._does[step]()

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
        held = f"{os.environ.get('CANARY_TOKEN')} and hf_{'canary' * 6}"
        raise ConnectionError(f"https://me:canary@host/x is away; sent: {held}")

    def _wait(self) -> None:
        while not Path("go").exists():
            time.sleep(0.01)
