"""Alerts by wandb.alert: W&B sends them on as its own settings say, by Slack or e-mail."""

from __future__ import annotations

import socket
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from pretrain.metrics.alerts.desk import Desk
from pretrain.metrics.alerts.events import begun, ended
from pretrain.metrics.alerts.follow import Follower, last_step, read_status
from pretrain.metrics.alerts.messages import Message, Sender
from pretrain.metrics.serving import say

LOOK_S = 1.0
LEVELS = {"start": "INFO", "finish": "INFO", "stop": "ERROR", "stall": "ERROR"}  # the others warn


class Alerts:
    """Looks in a thread, beside the one that takes the trainer's lines.

    Args:
        run: wandb's. run_dir: of ours. told: as `WandB.start` gives it.
    """

    def __init__(self, run: Any, run_dir: Path, told: dict[str, Any]) -> None:
        self._run, self._run_dir, self._restarts = run, run_dir, bool(told["restarts"])
        self._follower = Follower(run_dir, told["old"])
        sender = Sender(str(run.name or run_dir.name), socket.gethostname(), run_dir)
        settings = told["alerts"]
        self._desk = Desk(sender, settings["kinds"], settings["min_interval_s"], self._send, type_of, say)
        self._desk.add(begun(int(told["step"]), run_dir))
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="alerts", daemon=True)
        self._thread.start()

    def end(self, status: str) -> None:
        """Tell how the run ended. The reason stands in status.json, which the trainer writes when W&B has let it go."""
        self._ended.set()
        self._thread.join()
        self._look()
        told = read_status(self._run_dir) or {"status": status}
        self._desk.add(ended(told, last_step(self._run_dir), self._restarts, self._run_dir, self._follower.stall))
        self._desk.send_due(time.monotonic(), everything=True)

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_S):
            self._look()

    def _look(self) -> None:
        for event in self._follower.new():
            self._desk.add(event)
        self._desk.send_due(time.monotonic())

    def _send(self, message: Message) -> None:
        # host and folders stay here. Without a duration W&B holds back another alert of this title for a minute
        level = LEVELS.get(message.kind, "WARN")
        self._run.alert(title=message.title, text=message.told, level=level, wait_duration=timedelta(milliseconds=1))


def type_of(error: Exception) -> str:
    """Return an error's class: what wandb says of it may hold its address."""
    return type(error).__name__
