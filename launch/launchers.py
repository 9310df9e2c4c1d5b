"""The launchers: what starts a training, in one process or in a group of them."""

from __future__ import annotations

import os
import sys

from foundation.cores import usable_cores
from foundation.errors import require
from pretrain.seats import Launcher

THREADS = "OMP_NUM_THREADS"


class Inline(Launcher):
    """This process; a trial of a sweep gets a child."""

    in_process = True

    def prefix(self) -> list[str]:
        return [sys.executable]


class TorchRun(Launcher):
    """A process group on this machine.

    Args:
        processes: ranks.
    Raises:
        SettingError: less than one.
    """

    in_process = False

    def __init__(self, processes: int) -> None:
        require(processes >= 1, "processes", processes, "1 or more; launcher=inline starts none")
        self._processes = processes

    def prefix(self) -> list[str]:
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        return [*self._threads(), *torchrun, f"--nproc_per_node={self._processes}"]

    def _threads(self) -> list[str]:
        """Share the cores out, where the user has not: torchrun gives each rank one, with a warning of four lines."""
        if self._processes == 1 or THREADS in os.environ:
            return []
        return ["env", f"{THREADS}={max(1, usable_cores() // self._processes)}"]
