"""A command whose settings are one composed config: help, a run or the trials of a sweep, errors as exit codes."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from foundation.command import guarded, run_command
from foundation.config.compose import CommandLine, run_hydra
from foundation.errors import ConfigError, GroundworkError

CONF_DIR = Path(__file__).resolve().parents[1] / "conf"
_NAMES = ("name=", "output_dir=")


@dataclass(frozen=True, slots=True)
class Trial:
    """One composed config: the only one, or one of a sweep.

    Attributes:
        choices: group -> the option that is taken.
        command: the command line; typed: as it was typed.
    """

    config: DictConfig
    choices: Mapping[str, str]
    command: CommandLine
    typed: list[str]


Prepare = Callable[[Trial], Callable[[], int]]  # what is returned gives the exit code


@dataclass(frozen=True)
class Composed:
    """A command.

    Attributes:
        config: name of the config in conf/ that it composes.
        stopped: what is said of what was done so far when it is stopped.
        trials: what a sweep makes, e.g. `the pages`, which would share one folder.
        line: what starts it, as typed; stem: of the names of trials, in an example.
    """

    config: str
    stopped: str
    trials: str
    line: str
    stem: str

    def run(self, prepare: Prepare) -> NoReturn:
        """Read the command line and act; the exit codes are those of `run_command`.

        Args:
            prepare: checks a composed config, and one of a sweep as far as can be without doing it; returns what does
                it. All trials are prepared before the first is done.
        """
        run_command(lambda scratch_dir: self._compose(prepare, scratch_dir), self.stopped)

    def _compose(self, prepare: Prepare, scratch_dir: Path) -> int:
        typed = sys.argv[1:]
        command = CommandLine(typed, CONF_DIR, self.config, scratch_dir)
        if command.wants_help:
            print(command.help())
            return 0
        if command.multirun:
            self._require_names(typed)
        sys.argv = [sys.argv[0], *command.arguments]
        composed: list[tuple[Trial, list[str]]] = []

        def note(config: DictConfig) -> None:
            hydra = HydraConfig.get()
            composed.append((Trial(config, hydra.runtime.choices, command, typed), list(hydra.overrides.task)))

        run_hydra(command, self.config, note)  # nothing else inside of Hydra: it would shorten tracebacks
        acts = [_prepared(prepare, *each, number) for number, each in enumerate(composed)]
        return max((guarded(act) for act in acts), default=0)  # none when Hydra was asked to inform

    def _require_names(self, typed: list[str]) -> None:
        """Refuse a sweep whose trials would share one folder.

        Raises:
            ConfigError: gives the command to use.
        """
        if not any(text.startswith(_NAMES) and ("," in text or "${" in text) for text in typed):
            swept = [text.partition("=")[0].lstrip("+") for text in typed if "," in text.partition("=")[2]]
            names = "-".join(f"${{{key}}}" for key in swept) or "${seed}"
            raise ConfigError(
                f"-m: {self.trials} would share one folder; give each its own name, e.g. {self.line} "
                f"{shlex.join(typed)} name='{self.stem}-{names}'"
            )


def _prepared(prepare: Prepare, trial: Trial, overrides: list[str], number: int) -> Callable[[], int]:
    """Return what does a trial.

    Raises:
        GroundworkError: what it would be refused with; of a sweep, which trial it is.
    """
    try:
        return prepare(trial)
    except GroundworkError as error:
        if not trial.command.multirun:
            raise
        words = (text.replace("$\\{", "${").replace("\\}", "}") for text in overrides)  # as they were typed
        varied = " ".join(word.lstrip("+") for word in words if word not in trial.command.arguments)
        raise ConfigError(f"{error}\nso would end trial {number}: {varied}; no trial was started") from error
