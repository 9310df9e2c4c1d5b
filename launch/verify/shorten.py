"""The user's own config as a run of a few steps: same model, data, optimizer and batch, a schedule of the same form."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foundation.config import build
from foundation.errors import ConfigError
from pretrain.data.mixture import BLOCK_SAMPLES
from pretrain.main import check_config
from pretrain.seats import Launcher

MAX_EVAL_TOKENS, MAX_NEW_TOKENS = 65_536, 8
NO_LOGGER = {"_target_": "pretrain.metrics.loggers.NoLogger"}
NO_PROFILER = {"_target_": "pretrain.metrics.profiler.NoProfiler"}


def shortened(
    tree: dict[str, Any], steps: int, max_steps: int, runs_dir: Path, planned: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """Return the config of a run of `steps` steps that saves and measures every few.

    Budgets are of the whole run; the short one has the same sources in the same shares, as weights.

    Args:
        tree: the resolved config.
        steps: of the short run.
        max_steps: of the whole one, by which lengths in the schedule are scaled.
        runs_dir: where the short one goes.
        planned: samples of the whole one from each source, where some have budgets; None where all have weights.
    Raises:
        ConfigError: the run saves nothing, or not every few steps.
    """
    short = copy.deepcopy(tree)
    short |= {"runs_dir": str(runs_dir), "resume": "auto", "allow_change": []}
    short |= {"logger": NO_LOGGER, "profile": NO_PROFILER}
    short["trainer"] |= {"max_steps": steps, "max_tokens": None, "max_epochs": None}
    if "every_steps" not in short["checkpoint"]:
        raise ConfigError(
            f"checkpoint: {short['checkpoint']['_target_']} has no every_steps, so nothing would be saved on the way; "
            "choose checkpoint=default"
        )
    short["data"] |= {"max_epochs_per_source": None}  # the whole run has been judged, and may be the shorter one
    if planned is not None:
        short["data"] |= {"mixture": _weights(planned)}
    save_every, measure_every = intervals(steps)
    short["checkpoint"] |= {"every_steps": save_every, "keep_last": 1000}
    _measure_every(short["eval"], measure_every)
    for key, value in short["schedule"].items():
        if key.endswith("_steps") and isinstance(value, int):
            short["schedule"][key] = round(value * steps / max(max_steps, steps))
    return short


def intervals(steps: int) -> tuple[int, int]:
    """Return the steps between two saves, and between two evaluations: some of them meet, some do not."""
    return steps // 4, steps * 3 // 8


def _weights(planned: Mapping[str, int]) -> dict[str, float]:
    """Return planned samples as weights: of less than one sample in a block, which no weight can be, two."""
    least = 2 * sum(planned.values()) / BLOCK_SAMPLES
    return {name: max(count, least) for name, count in planned.items()}


def _measure_every(node: Any, steps: int) -> None:
    """Set the interval, and bounds on the work, of every evaluator in the tree."""
    if not isinstance(node, dict):
        return
    if "every_steps" in node:
        node["every_steps"] = steps
        for key, most in (("max_tokens", MAX_EVAL_TOKENS), ("max_new_tokens", MAX_NEW_TOKENS)):
            if isinstance(node.get(key), int):
                node[key] = min(node[key], most)
    for value in node.values():
        _measure_every(value, steps)


def prefix_for(tree: dict[str, Any], processes: int, allowed: tuple[str, ...]) -> list[str]:
    """Return what starts a run on `processes` ranks: the config's own launcher where it counts them, else torchrun's.

    None restarts by itself: a start that fails and heals at the second attempt is one that did not go on.

    Args:
        tree: the resolved config.
        processes: ranks.
        allowed: module prefixes that a `_target_` may come from.
    """
    node = tree["launcher"]
    if "processes" in node:
        node = node | {"processes": processes}
    elif processes > 1:
        node = {"_target_": "launch.launchers.TorchRun", "processes": processes, "max_restarts": 0}
    if "max_restarts" in node:
        node = node | {"max_restarts": 0}
    launcher: Launcher = build(check_config(tree | {"launcher": node}, allowed)["launcher"])
    return launcher.prefix()
