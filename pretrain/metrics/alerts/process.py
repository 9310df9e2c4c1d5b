"""The trainer's side of alerts: a child process that follows the run's files and sends, also when training hangs."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from foundation.errors import require
from pretrain.metrics.alerts.events import TROUBLE, Kind
from pretrain.metrics.alerts.follow import standing
from pretrain.metrics.child import Child
from pretrain.torchrun import would_be_restarted

MODULE = "pretrain.metrics.alert_child"
DEFAULT: tuple[Kind, ...] = ("start", *TROUBLE)


class AlertProcess:
    """Sends the alerts of a run by a process of its own (alert_child/__main__.py).

    Training hands it nothing but its start and its end, so it can't be held up; and what hangs or is killed with
    kill -9 is told all the same, for the process looks for itself.

    Args:
        name: of the logger, in front of what it says. run_dir: of the run.
        events: kinds that are sent; None for DEFAULT. min_interval_s: between two messages of a kind.
        timeout_s: for a receiver to answer. close_timeout_s: that the end of this process waits for the last message.
        channel: what the process is told of where to send, JSON values: the names of variables, never a secret.
    Raises:
        SettingError: a number that can't be.
    """

    def __init__(
        self,
        name: str,
        run_dir: Path,
        events: Collection[Kind] | None,
        min_interval_s: float,
        timeout_s: float,
        close_timeout_s: float,
        channel: dict[str, Any],
    ) -> None:
        require(min_interval_s >= 0, "min_interval_s", min_interval_s, "0 to hold nothing back, or more")
        require(0 < timeout_s <= 600, "timeout_s", timeout_s, "a number above 0, up to 600")
        greeting = {
            "run_dir": str(run_dir.absolute()),
            "events": list(DEFAULT if events is None else events),
            "min_interval_s": min_interval_s,
            "timeout_s": timeout_s,
            "channel": channel,
        }
        self._run_dir = run_dir
        self._child = Child(name, MODULE, greeting, run_dir / f"{name}.log", 10, close_timeout_s)

    def start(self, step: int) -> None:
        """Begin to look: what the files hold by now is old."""
        self._child.send({"step": step, "restarts": would_be_restarted(), "old": standing(self._run_dir)})

    def leave(self, status: str) -> None:
        """Say that the run ends: how, the process reads in status.json, which is written after this."""
        self._child.leave(status)
