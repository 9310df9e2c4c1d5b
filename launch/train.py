"""Train a model on token shards: torchrun launch/train.py model=gpt_small. `--help` lists what can be set.

A process that torchrun started trains. Any other one trains in place, or starts a process group for the run
(launcher=torchrun), or one child after the other for the trials of a sweep (-m).
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from foundation.config import build
from foundation.config.compose import CommandLine, config_yaml, plain, run_hydra
from foundation.config.help import help_text
from foundation.errors import ConfigError, GroundworkError
from foundation.files import write_atomic, write_json
from launch.launchers import EXIT_CODES, Launcher
from launch.sweep import Sweep
from pretrain.main import check_config, run_config
from pretrain.mesh import launched_by_torchrun, speaks

CONF_DIR = Path(__file__).resolve().parent.parent / "conf"
PR_SET_PDEATHSIG = 1  # of prctl(2)
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}


def main() -> None:
    """Read the command line and train; exit with 0 when done or saved, 2 for what users can mend, 3 after the guard."""
    end_with_torchrun()
    try:
        with tempfile.TemporaryDirectory() as scratch:
            code = compose_and_run(Path(scratch))
    except GroundworkError as error:
        code = refuse(error)
    sys.exit(code)


def end_with_torchrun() -> None:
    """Have a worker asked to stop when torchrun dies: killed, it can't tell its workers, and nobody restarts them."""
    if launched_by_torchrun() and sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def refuse(error: GroundworkError) -> int:
    """Say what the user can mend; also to torchrun, whose own report would bury it."""
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
    """Compose the config once, or once a trial, and run it; return the exit code."""
    command = CommandLine(sys.argv[1:], CONF_DIR, scratch_dir)
    if command.wants_help:
        print(help_text(command.conf_dir, "train", command.chosen))
        return 0
    if command.multirun and launched_by_torchrun():
        raise ConfigError(
            "-m: every rank of torchrun would sweep for itself; type "
            "python launch/train.py -m ... launcher=torchrun launcher.processes=<ranks>"
        )
    sys.argv = [sys.argv[0], *command.arguments]
    sweep, codes = Sweep(command.arguments, command.extra_targets), [0]

    def task(config: DictConfig) -> None:
        codes.append(guarded(config, command, sweep))

    run_hydra(command, "train", task)
    if command.multirun:
        print(sweep.summary())
    return max(codes)


def guarded(config: DictConfig, command: CommandLine, sweep: Sweep) -> int:
    """Run one composed config; Hydra would shorten an error's traceback, so errors end here."""
    try:
        return run_one(config, command, sweep)
    except GroundworkError as error:
        return refuse(error)
    except OSError as error:
        if error.errno in DISK_ERRORS:
            return refuse(GroundworkError(f"{error}; make room there, or write elsewhere with runs_dir="))
        traceback.print_exc()
    except Exception:
        traceback.print_exc()
    return 1


def run_one(config: DictConfig, command: CommandLine, sweep: Sweep) -> int:
    """Train here, or start the child that does."""
    tree = named(plain(config))
    launcher: Launcher = build(check_config(tree, command.allowed)["launcher"])
    if command.multirun:
        return sweep.run_trial(tree, launcher, list(HydraConfig.get().overrides.task))
    if launched_by_torchrun() or launcher.in_process:
        return EXIT_CODES[run_config(tree, command.allowed)]
    with tempfile.TemporaryDirectory() as config_dir:
        write_atomic(Path(config_dir) / "config.yaml", config_yaml(tree))
        return launcher.train(Path(config_dir), Path(tree["runs_dir"]) / tree["run_name"], command.extra_targets)


def named(tree: dict[str, Any]) -> dict[str, Any]:
    """Return the config with its run_name: by default the chosen model's."""
    if tree.get("run_name") is None:
        tree = tree | {"run_name": HydraConfig.get().runtime.choices.get("model", "run")}
    return tree


if __name__ == "__main__":
    main()
