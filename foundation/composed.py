"""A command whose settings are one composed config: help, a run or the trials of a sweep, errors as exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from omegaconf import DictConfig

from foundation.command import guarded, run_command
from foundation.config.compose import CommandLine, run_hydra
from foundation.errors import ConfigError

CONF_DIR = Path(__file__).resolve().parents[1] / "conf"
_NAMES = ("name=", "output_dir=")


@dataclass(frozen=True)
class Composed:
    """A command.

    Attributes:
        config: name of the config in conf/ that it composes.
        stopped: what is said of what was done so far when it is stopped.
        trials: what a sweep makes, e.g. `the pages`, which would share one folder.
        sweep: the command line of a sweep whose trials have names of their own.
    """

    config: str
    stopped: str
    trials: str
    sweep: str

    def run(self, act: Callable[[DictConfig, CommandLine, list[str]], int]) -> NoReturn:
        """Read the command line and act; the exit codes are those of `run_command`.

        Args:
            act: is given the composed config, once or once a trial, and the command line, read and as it was typed;
                returns the exit code. Its errors end there: Hydra would shorten their tracebacks.
        """
        run_command(lambda scratch_dir: self._compose(act, scratch_dir), self.stopped)

    def _compose(self, act: Callable[[DictConfig, CommandLine, list[str]], int], scratch_dir: Path) -> int:
        typed = sys.argv[1:]
        command = CommandLine(typed, CONF_DIR, self.config, scratch_dir)
        if command.wants_help:
            print(command.help())
            return 0
        if command.multirun:
            self._require_names(typed)
        sys.argv = [sys.argv[0], *command.arguments]
        codes = [0]
        run_hydra(command, self.config, lambda config: codes.append(guarded(lambda: act(config, command, typed))))
        return max(codes)

    def _require_names(self, typed: list[str]) -> None:
        """Refuse a sweep whose trials would share one folder.

        Raises:
            ConfigError: gives the command to use.
        """
        if not any(text.startswith(_NAMES) and ("," in text or "${" in text) for text in typed):
            shared = f"-m: {self.trials} would share one folder; give each its own name, e.g. {self.sweep}"
            raise ConfigError(shared)
