"""Weights & Biases, in a child process (child.py): wandb_child/__main__.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from foundation.errors import require
from pretrain.metrics.alerts.events import TROUBLE, Kind
from pretrain.metrics.alerts.follow import standing
from pretrain.metrics.child import Child
from pretrain.seats import Logger
from pretrain.torchrun import would_be_restarted

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
        alerts: kinds of events that W&B is told as alerts, which it sends on as its own settings say; None for TROUBLE.
        min_interval_s: seconds between two alerts of a kind; what happens meanwhile is told in the next one.
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
        alerts: list[Kind] | None = None,
        min_interval_s: float = 300.0,
    ) -> None:
        require(min_interval_s >= 0, "min_interval_s", min_interval_s, "0 to hold nothing back, or more")
        greeting = {
            "run_dir": str(run_dir.absolute()),
            "project": project,
            "entity": entity,
            "mode": mode,
            "config_keys": list(CONFIG_KEYS) if config_keys is None else config_keys,
            "tags": tags or [],
        }
        self._run_dir = run_dir
        self._alerts = {"events": list(TROUBLE if alerts is None else alerts), "min_interval_s": min_interval_s}
        self._child = Child("wandb", MODULE, greeting, run_dir / LOG, queue_lines, close_timeout_s)

    @property
    def num_dropped(self) -> int:
        """Lines that were dropped because the child did not keep up."""
        return self._child.num_dropped

    def start(self, step: int) -> None:
        if self._alerts["events"]:
            old = standing(self._run_dir)
            self._child.send({"alerts": self._alerts, "step": step, "old": old, "restarts": would_be_restarted()})

    def log(self, line: dict[str, Any]) -> None:
        self._child.send({"line": line})

    def show(self, name: str, line: dict[str, Any]) -> None:
        self._child.send({"show": name, "line": line})

    def close(self, status: str) -> None:
        self._child.close(status)
