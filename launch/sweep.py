"""A sweep: each trial a child process with a run folder of its own, named by what it overrides."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from foundation.config.compose import config_yaml
from foundation.files import write_atomic
from foundation.hashes import hash_json
from launch.launchers import Launcher
from pretrain.run_folder import read_status

UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")
MAX_NAME = 120  # characters of overrides in a folder's name; the hash tells longer ones apart


class Sweep:
    """Runs the trials that Hydra's sweeper lists, one after the other, and remembers how each ended."""

    def __init__(self, arguments: list[str]) -> None:
        self._arguments = arguments
        self._trials: list[tuple[Path, int]] = []

    def run_trial(self, tree: dict[str, Any], launcher: Launcher, overrides: list[str]) -> int:
        """Write the trial's config.yaml, run it in a child, return its exit code. A failure does not end the sweep."""
        tree = tree | {"run_name": f"{tree['run_name']}/{trial_name(overrides, tree)}"}
        run_dir = Path(tree["runs_dir"]) / tree["run_name"]
        if not (run_dir / "config.yaml").exists():
            write_atomic(run_dir / "config.yaml", config_yaml(tree))
        print(f"trial {len(self._trials)}: {run_dir}", flush=True)
        code = launcher.run(run_dir, self._arguments)
        self._trials.append((run_dir, code))
        return code

    def summary(self) -> str:
        """Return a line a trial: folder and how it ended."""
        lines = [f"  {folder}: {read_status(folder).get('status', f'exit {code}')}" for folder, code in self._trials]
        return "\n".join([f"sweep: {len(lines)} trials", *lines])


def trial_name(overrides: list[str], tree: dict[str, Any]) -> str:
    """Return `<overrides, with / = , as _>-<8 hex of the config>`: a trial has the same folder in every sweep."""
    text = "_".join(UNSAFE.sub("_", override.lstrip("+~")) for override in sorted(overrides))
    return f"{text[:MAX_NAME].strip('_') or 'trial'}-{hash_json(tree)[:8]}"
