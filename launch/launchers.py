"""The launchers: what starts a training, in one process or in a group of them."""

from __future__ import annotations

import sys
from pathlib import Path

from foundation.errors import ConfigError
from pretrain.seats import Launcher

TRAIN = Path(__file__).with_name("train.py")


class Inline(Launcher):
    """This process; a trial of a sweep gets a child."""

    in_process = True

    def command(self, config_dir: Path, arguments: list[str]) -> list[str]:
        return [sys.executable, str(TRAIN), *_rerun(config_dir), *arguments]


class TorchRun(Launcher):
    """A process group on this machine."""

    in_process = False

    def __init__(self, processes: int) -> None:
        """Take the settings.

        Args:
            processes: ranks.
        Raises:
            ConfigError: less than one.
        """
        if processes < 1:
            raise ConfigError(f"launcher.processes: {processes} is not at least 1; launcher=inline starts none")
        self._processes = processes

    def command(self, config_dir: Path, arguments: list[str]) -> list[str]:
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        return [*torchrun, f"--nproc_per_node={self._processes}", str(TRAIN), *_rerun(config_dir), *arguments]


def _rerun(config_dir: Path) -> list[str]:
    return [f"--config-path={config_dir.resolve()}", "--config-name=config"]
