"""Alerts by wandb.alert: W&B sends them on as its own settings say, by Slack or e-mail."""

from __future__ import annotations

import re
import socket
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

from foundation.secrets import INSTEAD
from pretrain.metrics.alerts.desk import Desk
from pretrain.metrics.alerts.events import begun, ended
from pretrain.metrics.alerts.follow import Follower, last_step, status_of
from pretrain.metrics.alerts.messages import Message, Sender
from pretrain.metrics.serving import say
from pretrain.run_files import NO_SIGN

LOOK_S = 1.0
LEVELS = {"start": "INFO", "finish": "INFO", "stop": "ERROR", "stall": "ERROR"}  # the others warn
_ON_HOST = re.compile(rf" on \S+(?={NO_SIGN})")  # of any rank that hangs


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
        self._desk = Desk(sender, settings["events"], settings["min_interval_s"], self._send, type_of, say)
        self._desk.add(begun(int(told["step"]), run_dir))
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="alerts", daemon=True)
        self._thread.start()

    def end(self, status: str) -> None:
        """Tell how the run ended. The reason stands in status.json, which the trainer writes when W&B has let it go."""
        self._ended.set()
        self._thread.join()
        self._look()
        told = status_of(self._run_dir) or {"status": status}
        self._desk.add(ended(told, last_step(self._run_dir), self._restarts, self._run_dir, self._follower.stall))
        self._desk.send_last()

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_S):
            self._look()

    def _look(self) -> None:
        for event in self._follower.new():
            self._desk.add(event)
        self._desk.send_due()

    def _send(self, message: Message) -> None:
        level, text = LEVELS.get(message.kind, "WARN"), without_place(message.told, socket.gethostname(), self._run_dir)
        # without a duration W&B holds back another alert of this title for a minute
        self._run.alert(title=message.title, text=text, level=level, wait_duration=timedelta(milliseconds=1))


def without_place(text: str, host: str, run_dir: Path) -> str:
    """Return a text without the name of this host, or of one where a rank hangs, and without where the run's folder is.

    Args:
        run_dir: absolute; it may stand in the text from the working folder on, too.
    """
    text, folders = _ON_HOST.sub("", text), {str(run_dir), str(run_dir.resolve())}
    if run_dir.is_relative_to(Path.cwd()):
        folders.add(str(run_dir.relative_to(Path.cwd())))
    for folder in sorted(folders, key=len, reverse=True):
        if "/" in folder:  # a bare name may be any word
            text = re.sub(_alone(folder), "run_dir", text)
    return re.sub(_alone(host.partition(".")[0], r"(\.[\w-]+)*"), INSTEAD, text)  # with its domain, and without


def _alone(name: str, more: str = "") -> str:
    """Return the pattern of a name that is no part of another one."""
    return rf"(?<![\w-]){re.escape(name)}{more}(?![\w-])"


def type_of(error: Exception) -> str:
    """Return an error's class: what wandb says of it may hold its address."""
    return type(error).__name__
