"""From a command line to its trainings: one, or those of a sweep (-m). All are checked before the first starts."""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from foundation.config import build
from foundation.config.compose import CommandLine, config_yaml, plain, run_hydra
from foundation.config.suggest import other_options_named
from foundation.errors import ConfigError, GroundworkError
from foundation.files import write_atomic
from launch.child import Child, exit_code, is_child
from launch.exit_codes import CRASH_LOOP
from launch.quick_tests import is_first_process, require_green
from launch.sweep import Sweep
from pretrain.main import check_config, rehearse, run_config
from pretrain.run_folder import has_trained
from pretrain.seats import Launcher
from pretrain.types import Status


def run_trials(command: CommandLine) -> int:
    """Compose the config once, or once a trial, and run it; return the exit code.

    Raises:
        GroundworkError: what the user can mend; before the first trial starts where a config is wrong.
    """
    trials = [checked(config, hydra, command) for config, hydra in compose(command)]
    look_ahead(trials, command, rehearses=command.multirun)
    if not command.multirun:
        return max((run_one(trial, command) for trial in trials), default=0)  # none when Hydra was asked to inform
    sweep = Sweep(command.arguments, command.extra_targets)
    codes = [sweep.run_trial(trial.tree, trial.launcher, trial.overrides) for trial in trials]
    print(sweep.summary())
    return max(codes)


def compose(command: CommandLine) -> list[tuple[DictConfig, HydraConf]]:
    """Return each composed config with Hydra's own. Nothing runs inside of Hydra: it would shorten tracebacks."""
    composed: list[tuple[DictConfig, HydraConf]] = []
    sys.argv = [sys.argv[0], *command.arguments]
    run_hydra(command, "train", lambda config: composed.append((config, HydraConfig.get())))
    return composed


@dataclass(frozen=True, slots=True)
class Trial:
    """One training: its resolved and checked config, what starts it, and the overrides that were in force."""

    tree: dict[str, Any]
    launcher: Launcher
    overrides: list[str]


def checked(config: DictConfig, hydra: HydraConf, command: CommandLine) -> Trial:
    """Return a composed config as a training; its name is by default the chosen model's.

    Raises:
        ConfigError: the first key that is wrong.
    """
    tree = plain(config)
    if tree.get("run_name") is None:
        tree |= {"run_name": hydra.runtime.choices.get("model", "run")}
    with other_options_named(command.conf_dirs, hydra.runtime.choices):
        launcher = build(check_config(tree, command.allowed)["launcher"])
    return Trial(tree, launcher, list(hydra.overrides.task))


def look_ahead(trials: list[Trial], command: CommandLine, rehearses: bool = False) -> None:
    """Run the quick tests where a training begins with them; what is refused without them is refused before them.

    Args:
        rehearses: whether to build each trial in any case.
    Raises:
        ConfigError: as `rehearse_all`. NotCleared: a test fails.
    """
    tests = any(begins_with_tests(trial) for trial in trials)
    if rehearses or tests:
        rehearse_all(trials, command)
    if tests:
        require_green()


def rehearse_all(trials: list[Trial], command: CommandLine) -> None:
    """Build what every trial would, before the first starts: a value that a class refuses costs no hours of the others.

    Raises:
        ConfigError: what the first trial that can't start is refused with.
    """
    for number, trial in enumerate(trials):
        try:
            rehearsed = rehearse(trial.tree, command.allowed).plan
            settings = build(check_config(trial.tree, command.allowed)["trainer"])
            settings.plan(ranks_of(trial), rehearsed.samples_per_epoch, rehearsed.seed)
        except GroundworkError as error:
            if not command.multirun:
                raise
            varied = [text.lstrip("+") for text in trial.overrides if text not in command.arguments]
            raise ConfigError(
                f"{error}\nso would end trial {number}: {' '.join(varied)}; no trial was started"
            ) from error


def begins_with_tests(trial: Trial) -> bool:
    """Return whether the quick tests come before this training: it begins anew, and they are asked for, here."""
    if trial.tree["trainer"].get("preflight") != "full" or not is_first_process():
        return False
    resume = trial.tree.get("resume", "auto")
    if resume not in ("auto", "never"):
        return False  # it goes on from a checkpoint
    return resume == "never" or not has_trained(Path(trial.tree["runs_dir"]) / trial.tree["run_name"])


def ranks_of(trial: Trial) -> int:
    """Return how many ranks will train: those of the torchrun that was typed, or those that its launcher starts."""
    typed = os.environ.get("WORLD_SIZE", "")
    return int(typed) if typed.isdecimal() else int(trial.tree["launcher"].get("processes", 1))


def run_one(trial: Trial, command: CommandLine) -> int:
    """Train here, or start the child that does; return the exit code."""
    tree, launcher = trial.tree, trial.launcher
    if is_child() or launcher.in_process:
        status, interrupted = run_config(tree, command.allowed)
        # any other failure is raised: this is a start that was refused for those before it
        return CRASH_LOOP if status is Status.FAILED else exit_code(status, interrupted)
    with tempfile.TemporaryDirectory() as config_dir:
        write_atomic(Path(config_dir) / "config.yaml", config_yaml(tree))
        child = Child(launcher.prefix(), Path(config_dir), command.extra_targets)
        return child.train(Path(tree["runs_dir"]) / tree["run_name"])
