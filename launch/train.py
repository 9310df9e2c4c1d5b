"""Train a model on token shards: torchrun launch/train.py model=gpt_small. `--help` lists what can be set.

A process that torchrun or a launcher started trains. Any other one trains in place, or starts a process group for the
run (launcher=torchrun), or one child after the other for the trials of a sweep (-m).
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from foundation.config import build
from foundation.config.compose import CommandLine, config_yaml, plain, run_hydra
from foundation.config.help import help_text
from foundation.errors import ConfigError, GroundworkError
from foundation.files import write_atomic, write_json
from launch.child import EXIT_CODES, Child, is_child
from launch.sweep import Sweep
from pretrain.main import check_config, run_config
from pretrain.mesh import launched_by_torchrun, speaks
from pretrain.seats import Launcher

CONF_DIR = Path(__file__).resolve().parent.parent / "conf"
PR_SET_PDEATHSIG = 1  # of prctl(2)
ROOM, ACCESS = "make room there, or write elsewhere with runs_dir=", "see that this process may read and write there"
ADVICE = {errno.ENOSPC: ROOM, errno.EDQUOT: ROOM}  # an OSError that the user can mend
ADVICE |= dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO), ACCESS)


def main() -> None:
    """Read the command line and train; exit with 0 when done or saved, 2 for what users can mend, 3 after the guard."""
    end_with_torchrun()
    try:
        with tempfile.TemporaryDirectory() as scratch:
            code = compose_and_run(Path(scratch))
    except GroundworkError as error:
        code = refuse(error)
    except OSError as error:
        if error.errno not in ADVICE:
            raise
        code = refuse(GroundworkError(f"{error}; {ADVICE[error.errno]}"))
    sys.exit(code)


def end_with_torchrun() -> None:
    """Have a worker asked to stop when torchrun dies: killed, it can't tell its workers, and nobody restarts them."""
    if launched_by_torchrun() and sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def refuse(error: GroundworkError) -> int:
    """Say what the user can mend; and hand it to torchrun, whose report would otherwise hide it."""
    if speaks(str(error)):
        print(f"error: {error}", file=sys.stderr, flush=True)
    if path := os.environ.get("TORCHELASTIC_ERROR_FILE"):
        message = {
            "message": str(error),
            "extraInfo": {"py_callstack": f"error: {error}", "timestamp": str(int(time.time()))},
        }
        write_json(Path(path), {"message": message})
    return 2


def compose_and_run(scratch_dir: Path) -> int:
    """Compose the config once, or once a trial, and run it; return the exit code.

    Raises:
        GroundworkError: what the user can mend; before the first trial starts where a config is wrong.
    """
    command = CommandLine(sys.argv[1:], CONF_DIR, "train", scratch_dir)
    if command.wants_help:
        print(help_text(command.conf_dir, "train", command.chosen))
        return 0
    if command.multirun and launched_by_torchrun():
        raise ConfigError(
            "-m: every rank of torchrun would sweep for itself; type "
            "python launch/train.py -m ... launcher=torchrun launcher.processes=<ranks>"
        )
    trials = [checked(config, hydra, command) for config, hydra in compose(command)]
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
    launcher = build(check_config(tree, command.allowed)["launcher"])
    return Trial(tree, launcher, list(hydra.overrides.task))


def run_one(trial: Trial, command: CommandLine) -> int:
    """Train here, or start the child that does; return the exit code."""
    tree, launcher = trial.tree, trial.launcher
    if is_child() or launcher.in_process:
        return EXIT_CODES[run_config(tree, command.allowed)]
    with tempfile.TemporaryDirectory() as config_dir:
        write_atomic(Path(config_dir) / "config.yaml", config_yaml(tree))
        child = Child(launcher.prefix(), Path(config_dir), command.extra_targets)
        return child.train(Path(tree["runs_dir"]) / tree["run_name"])


if __name__ == "__main__":
    main()
