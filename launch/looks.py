"""From a command line to its looks before a training: at one run, or at each trial of a sweep (-m)."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from foundation.config.compose import CommandLine, config_yaml
from foundation.errors import GroundworkError
from foundation.files import write_atomic
from launch.child import Child, is_child
from launch.trials import Trial, checked, compose, look_ahead
from pretrain.debug.preflight import inspect_run
from pretrain.describe import describe, plain_told
from pretrain.main import assembled

PREFLIGHT = Path(__file__).with_name("preflight.py")


def look(command: CommandLine) -> None:
    """Look at each run that the line describes, up to the first that must not begin.

    Raises:
        GroundworkError: what the user can mend; of a sweep, which trial it is. NotCleared: a rung says stop.
    """
    trials = [checked(config, hydra, command) for config, hydra in compose(command)]
    look_ahead(trials, command)
    for number, trial in enumerate(trials):
        varied = " ".join(text.lstrip("+") for text in trial.overrides if text not in command.arguments)
        if command.multirun:
            print(f"trial {number}: {varied}", flush=True)
        try:
            look_at(trial, command)
        except GroundworkError as error:
            if command.multirun:
                error.args = (f"{error}\nso would end trial {number}: {varied}",)
            raise


def look_at(trial: Trial, command: CommandLine) -> None:
    """Look at a run here, or in the ranks that its launcher starts.

    Raises:
        SystemExit: the ranks have said why it must not begin.
    """
    if is_child() or trial.launcher.in_process:
        look_here(trial.tree, command.allowed)
        return
    with tempfile.TemporaryDirectory() as config_dir:
        write_atomic(Path(config_dir) / "config.yaml", config_yaml(trial.tree))
        code = Child(trial.launcher.prefix(), Path(config_dir), command.extra_targets, script=PREFLIGHT).run()
    if code:
        raise SystemExit(code)


def look_here(tree: dict[str, Any], allowed: tuple[str, ...]) -> None:
    """Build the run of a resolved config, on this rank, and try every rung of the ladder on it; nothing is written.

    Args:
        tree, allowed: as `run_config` takes them.
    Raises:
        NotCleared: a rung says stop. GroundworkError: the run can't even be built.
    """
    with assembled(tree, allowed) as (run, agreed_tree):
        if run.mesh.is_main:
            print(describe(run), *plain_told(run), sep="\n", flush=True)
        try:
            inspect_run(run, Path(agreed_tree["runs_dir"]) / agreed_tree["run_name"], agreed_tree["resume"])
        finally:
            run.loader.close()
