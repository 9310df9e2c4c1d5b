"""Where a training runs: in this process, or in a process group of its own."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

from foundation.errors import ConfigError

TRAIN = Path(__file__).with_name("train.py")


class Launcher(ABC):
    """Starts trainings from a resolved config.yaml."""

    in_process: bool  # whether a single run (no sweep) needs no child

    @abstractmethod
    def command(self, config_dir: Path, arguments: list[str]) -> list[str]:
        """Return the command of a child that trains what `config_dir`/config.yaml says.

        Args:
            arguments: further arguments for launch/train.py.
        """

    def run(self, config_dir: Path, arguments: list[str]) -> int:
        """Run that child and return its exit code. A stop meant for this process goes on to the child, which saves."""
        command = self.command(config_dir, arguments)
        with subprocess.Popen(command, start_new_session=True) as child, forwarding(child):
            return child.wait()


@contextlib.contextmanager
def forwarding(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """Hand SIGTERM and SIGINT on to the child inside this block, as SIGTERM."""
    before = {
        number: signal.signal(number, lambda *_: child.send_signal(signal.SIGTERM))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Inline(Launcher):
    """This process; a trial of a sweep gets a child."""

    in_process = True

    def command(self, config_dir: Path, arguments: list[str]) -> list[str]:
        return [sys.executable, str(TRAIN), *_rerun(config_dir), *arguments]


class TorchRun(Launcher):
    """A process group on this machine."""

    in_process = False

    def __init__(self, processes: int) -> None:
        """Args:
            processes: ranks.
        Raises:
            ConfigError: less than one.
        """
        if processes < 1:
            raise ConfigError(f"launcher.processes: {processes} is not above 0")
        self._processes = processes

    def command(self, config_dir: Path, arguments: list[str]) -> list[str]:
        torchrun = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            f"--nproc_per_node={self._processes}",
        ]
        return [*torchrun, str(TRAIN), *_rerun(config_dir), *arguments]


def _rerun(config_dir: Path) -> list[str]:
    return [f"--config-path={config_dir.resolve()}", "--config-name=config"]
