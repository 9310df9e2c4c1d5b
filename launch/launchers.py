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
from pretrain.run_folder import read_status, status_stamp
from pretrain.types import Status

TRAIN = Path(__file__).with_name("train.py")
EXIT_CODES = {Status.FINISHED: 0, Status.PREEMPTED: 0, Status.STOPPED: 3, Status.FAILED: 1}


class Launcher(ABC):
    """Starts trainings from a resolved config.yaml."""

    in_process: bool  # whether a single run (no sweep) needs no child
    stopped: bool = False  # whether this process was asked to stop while a child ran

    @abstractmethod
    def command(self, config_dir: Path, arguments: list[str]) -> list[str]:
        """Return the command of a child that trains what `config_dir`/config.yaml says.

        Args:
            arguments: further arguments for launch/train.py.
        """

    def run(self, config_dir: Path, arguments: list[str]) -> int:
        """Run that child; a stop meant for this process goes on to the child, which saves.

        Returns:
            Its exit code; 128 + the signal's number where one killed it, as shells say.
        """
        command = self.command(config_dir, arguments)
        with subprocess.Popen(command, start_new_session=True) as child, self._forwarding(child):
            code = child.wait()
        return code if code >= 0 else 128 - code

    def train(self, config_dir: Path, run_dir: Path, arguments: list[str]) -> int:
        """Run that child; return the exit code that its run's status.json asks for: torchrun hides a worker's own.

        Args:
            config_dir, arguments: as for `run`. run_dir: of the run that config.yaml describes.
        """
        before = status_stamp(run_dir)
        code = self.run(config_dir, arguments)
        if status_stamp(run_dir) in (before, None):
            return code  # it was refused, was over already, or was killed: status.json is not of this child
        return EXIT_CODES[Status(read_status(run_dir)["status"])]

    @contextlib.contextmanager
    def _forwarding(self, child: subprocess.Popen[bytes]) -> Iterator[None]:
        """Hand SIGTERM and SIGINT on to the child inside this block, as SIGTERM."""

        def hand_on(*_: object) -> None:
            self.stopped = True
            child.send_signal(signal.SIGTERM)

        before = {number: signal.signal(number, hand_on) for number in (signal.SIGTERM, signal.SIGINT)}
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
