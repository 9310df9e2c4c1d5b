"""Weights & Biases, in a child process (child.py): wandb_child/__main__.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pretrain.metrics.child import Child
from pretrain.seats import Logger

# what a run is compared by; nothing else of the config leaves the machine
CONFIG_KEYS = (
    *("model", "data", "optim", "schedule", "parallel", "precision", "trainer", "spike", "checkpoint", "eval"),
    *("seed", "run_name", "resume"),
)
MODULE = "pretrain.metrics.wandb_child"
LOG = "wandb.log"


class WandB(Logger):
    """Sends every line to Weights & Biases, online where a key is set, else as files that `wandb sync` uploads.

    All it writes lies in runs/<run_name>/: wandb/ and wandb.log. Whatever goes wrong is said once and the run goes on.

    Args:
        run_dir: of the run.
        project: where the run appears.
        entity: user or team; None takes wandb's own default.
        mode: auto is online where wandb finds a key (WANDB_API_KEY, netrc, its settings), else offline.
        config_keys: top-level config keys that are sent; None sends those that say what is trained and how.
        tags: of the run.
        queue_lines: lines that may wait for the child; more are dropped and counted.
        close_timeout_s: how long the end of a run waits for the last lines; the child goes on alone after.
    Raises:
        SettingError: a number that can't be.
    """

    def __init__(
        self,
        run_dir: Path,
        project: str = "groundwork",
        entity: str | None = None,
        mode: Literal["auto", "online", "offline"] = "auto",
        config_keys: list[str] | None = None,
        tags: list[str] | None = None,
        queue_lines: int = 10_000,
        close_timeout_s: float = 30.0,
    ) -> None:
        greeting = {
            "run_dir": str(run_dir.absolute()),
            "project": project,
            "entity": entity,
            "mode": mode,
            "config_keys": list(CONFIG_KEYS) if config_keys is None else config_keys,
            "tags": tags or [],
        }
        self._child = Child("wandb", MODULE, greeting, run_dir / LOG, queue_lines, close_timeout_s)

    @property
    def num_dropped(self) -> int:
        """Lines that were dropped because the child did not keep up."""
        return self._child.num_dropped

    def log(self, line: dict[str, Any]) -> None:
        self._child.send({"line": line})

    def show(self, name: str, line: dict[str, Any]) -> None:
        self._child.send({"show": name, "line": line})

    def close(self, status: str) -> None:
        self._child.close(status)
