"""The launchers: what starts a training, in one process or in a group of them."""

from __future__ import annotations

import sys

from foundation.errors import require
from launch.threads import shared_threads
from pretrain.seats import Launcher
from pretrain.signals import HANDED_ON

# torchrun's own, and SIGUSR1, Slurm's warning, which would else end torchrun itself
SIGNALS = ",".join(number.name for number in HANDED_ON)


class Inline(Launcher):
    """This process; a trial of a sweep gets a child."""

    in_process = True

    def prefix(self) -> list[str]:
        return [sys.executable]


class TorchRun(Launcher):
    """A process group on this machine, under torchrun.

    Args:
        processes: ranks.
        max_restarts: how often all ranks are started again, from the newest checkpoint, when one fails.
        shutdown_timeout_s: what torchrun gives a rank that was asked to stop before it kills it, in seconds.
    Raises:
        SettingError: a number that can't be.
    """

    in_process = False

    def __init__(self, processes: int, max_restarts: int = 3, shutdown_timeout_s: int = 30) -> None:
        _require_ranks(processes, max_restarts)
        require(shutdown_timeout_s >= 1, "shutdown_timeout_s", shutdown_timeout_s, "1 or more; 30 is the default")
        self._processes, self._max_restarts, self._shutdown_timeout_s = processes, max_restarts, shutdown_timeout_s

    def prefix(self) -> list[str]:
        """Share the cores out, where the user has not: torchrun gives each rank one, with a warning of four lines."""
        shared = [f"{name}={value}" for name, value in shared_threads(self._processes).items()]
        limits = [f"--max-restarts={self._max_restarts}", f"--shutdown-timeout={self._shutdown_timeout_s}"]
        # -P: a folder `launch` here is not the package
        torchrun = [sys.executable, "-P", "-m", "launch.elastic", "--standalone", *limits]
        torchrun += [f"--signals-to-handle={SIGNALS}", f"--nproc_per_node={self._processes}"]
        return [*(["env", *shared] if shared else []), *torchrun]


class Local(Launcher):
    """A process group on this machine without torchrun: no port that another machine could reach.

    Args:
        processes: ranks.
        max_restarts: how often all ranks are started again, from the newest checkpoint, when one fails.
    Raises:
        SettingError: a number that can't be.
    """

    in_process = False

    def __init__(self, processes: int, max_restarts: int = 3) -> None:
        _require_ranks(processes, max_restarts)
        self._processes, self._max_restarts = processes, max_restarts

    def prefix(self) -> list[str]:
        # -P: a folder `launch` here is not the package
        local = [sys.executable, "-P", "-m", "launch.local"]
        return [*local, f"--processes={self._processes}", f"--max-restarts={self._max_restarts}"]


def _require_ranks(processes: int, max_restarts: int) -> None:
    require(processes >= 1, "processes", processes, "1 or more; launcher=inline starts none")
    require(max_restarts >= 0, "max_restarts", max_restarts, "0, for none, or more")
