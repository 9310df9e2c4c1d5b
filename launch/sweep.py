"""A sweep: each trial a child process with a run folder of its own, named by what it overrides."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from foundation.config.compose import config_yaml
from foundation.files import write_atomic
from foundation.hashes import hash_json
from launch.child import Child, exit_code
from pretrain.metrics.lines import read_metrics
from pretrain.plan import counted
from pretrain.run_files import METRICS, read_status
from pretrain.seats import Launcher
from pretrain.types import Status

UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")
VAL_LOSS = "val_loss"  # trials are compared by it
MAX_NAME = 120  # characters of overrides in a folder's name; the hash tells longer ones apart


class Sweep:
    """Runs the trials that Hydra's sweeper lists, one after the other, and remembers how each ended."""

    def __init__(self, typed: list[str], extra_targets: list[str]) -> None:
        """Begin with no trial.

        Args:
            typed: what was given to Hydra: an override that stands there as it is varies in no trial.
            extra_targets: handed on to the children.
        """
        self._typed, self._extra_targets = set(typed), extra_targets
        self._trials: list[tuple[Path, int]] = []
        self._stopped = False

    def run_trial(self, tree: dict[str, Any], launcher: Launcher, overrides: list[str]) -> int:
        """Write the trial's config.yaml, run it in a child, return its exit code.

        A failure does not end the sweep, a stop does: the trials after it are left for the same line typed again.

        Args:
            tree: the trial's resolved config.
            launcher: of its child.
            overrides: those in force in this trial.
        """
        if self._stopped:
            return 0
        varied = [override for override in overrides if override not in self._typed]
        tree = tree | {"run_name": f"{tree['run_name']}/{trial_name(varied, tree)}"}
        run_dir = Path(tree["runs_dir"]) / tree["run_name"]
        if not (run_dir / "config.yaml").exists():
            write_atomic(run_dir / "config.yaml", config_yaml(tree))
        print(f"trial {len(self._trials)}: {run_dir}", flush=True)
        child = Child(launcher.prefix(), run_dir, self._extra_targets)
        code = child.train(run_dir)
        self._stopped = child.stopped
        self._trials.append((run_dir, code))
        return code

    def summary(self) -> str:
        """Return a line a trial: folder, how it ended, its last losses, and which finished one's held-out is lowest."""
        losses = {folder: _losses(folder) for folder, _ in self._trials}
        outcomes = {folder: _outcome(folder, code) for folder, code in self._trials}
        finished = [folder for folder in losses if outcomes[folder] == Status.FINISHED.value]
        held_out = [losses[folder].get(VAL_LOSS, math.nan) for folder in finished]
        measured = [value for value in held_out if math.isfinite(value)]  # a trial that diverged is no lowest
        lowest = min(measured, default=math.nan)  # equal to nothing
        lines = []
        for folder, _ in self._trials:
            found = losses[folder]
            numbers = "".join(f", {name} {value:.4f}" for name, value in found.items())
            is_lowest = folder in finished and len(finished) > 1 and found.get(VAL_LOSS) == lowest
            lines.append(f"  {folder}: {outcomes[folder]}{numbers}{', the lowest' if is_lowest else ''}")
        stopped = ", then stopped; the same line again goes on" if self._stopped else ""
        return "\n".join([f"sweep: {counted(len(lines), 'trial')}{stopped}", *lines])


def _losses(folder: Path) -> dict[str, float]:
    """Return the last of each loss that the trial's lines hold."""
    found: dict[str, float] = {}
    for line in read_metrics(folder / METRICS):
        found |= {name: float(line[name]) for name in ("loss", VAL_LOSS) if name in line}
    return found


def _outcome(folder: Path, code: int) -> str:
    status = str(read_status(folder).get("status", ""))
    said = {exit_code(Status(status), interrupted) for interrupted in (False, True)} if status else set()
    return status if code in said else f"exit {code}"


def trial_name(overrides: list[str], tree: dict[str, Any]) -> str:
    """Return `<overrides, with / = , as _>-<8 hex of the config>`: a trial has the same folder in every sweep."""
    text = "_".join(UNSAFE.sub("_", override.lstrip("+~")) for override in sorted(overrides))
    return f"{text[:MAX_NAME].strip('_') or 'trial'}-{hash_json(tree)[:8]}"
