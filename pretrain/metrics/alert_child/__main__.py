"""Follows a run's files and sends what happens: reads of its trainer how to, when it starts, and when it ends.

Never imports torch. Outlives its trainer by as long as it takes to tell how that ended.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from foundation.config.scan import read_yaml
from foundation.secrets import MIN_CHARS
from pretrain.metrics.alert_child import post, smtp
from pretrain.metrics.alert_child.restart import Restart
from pretrain.metrics.alerts.desk import Desk
from pretrain.metrics.alerts.events import KILLED, begun, ended, may_be_started_again
from pretrain.metrics.alerts.follow import Follower, last_step, status_of
from pretrain.metrics.alerts.messages import Message, Sender
from pretrain.metrics.serving import Message as Said
from pretrain.metrics.serving import received, say, serve
from pretrain.run_files import CONFIG

LOOK_S = 1.0
SHORT_S = 0.1  # between two looks for what must be about to come
STATUS_S = 60.0  # for status.json, after the trainer has said that it ends
GIVE_UP_S = 600.0  # after the end, for a receiver that is down
MIN_PATH = 20  # characters of an address's path that is a secret: a shorter one stands in paths of files


def main() -> None:
    """Serve one start of a run."""
    messages = received()
    greeting, start = next(messages, None), next(messages, None)
    if greeting is None or start is None or "close" in start:
        return
    Watcher(greeting, start, Trainer(messages)).watch()


class Trainer:
    """The process that this one works for.

    Args:
        messages: what it says from now on: nothing but that it ends.
    """

    def __init__(self, messages: Iterator[Said]) -> None:
        self._parent, self._messages, self._said = os.getppid(), messages, ""

    def wait(self, seconds: float) -> None:
        """Wait, or until it ends or says that it does."""
        if not self._said and select.select([sys.stdin], [], [], seconds)[0]:
            self._said = serve(self._messages, lambda _: None)

    @property
    def is_there(self) -> bool:
        """Whether the process runs: something it has forked may hold the pipe open when it doesn't."""
        return os.getppid() == self._parent

    @property
    def said(self) -> str:
        """How the run ended; empty while it goes on."""
        return self._said or ("" if self.is_there else KILLED)


class Watcher:
    """Looks, and has sent what it finds.

    Args:
        greeting, start: as `AlertProcess` gives them. trainer: whose run it is.
    """

    def __init__(self, greeting: dict[str, Any], start: dict[str, Any], trainer: Trainer) -> None:
        self._run_dir, self._trainer = Path(greeting["run_dir"]), trainer
        self._restart = Restart(self._run_dir) if start["restarts"] else None
        self._follower = Follower(self._run_dir, start["old"])
        send, explain, hidden = sending(greeting["channel"], greeting["timeout_s"])
        sender = Sender(run_name(self._run_dir), socket.gethostname(), self._run_dir, hidden)
        self._desk = Desk(sender, greeting["events"], greeting["min_interval_s"], send, explain, say)
        self._desk.add(begun(int(start["step"]), self._run_dir))

    def watch(self) -> None:
        """Look until the run has ended, tell how, and end."""
        while not self._trainer.said:
            self._look()
            self._trainer.wait(LOOK_S)
        status = self._status()
        self._look()
        restart = self._restart if may_be_started_again(status) else None
        step = last_step(self._run_dir)
        self._desk.add(ended(status, step, restart is not None, self._run_dir, self._follower.stall))
        self._send_all()
        leave_console()
        for event in () if restart is None else restart.events():
            self._desk.add(event)
            self._send_all()

    def _look(self) -> None:
        for event in self._follower.new():
            self._desk.add(event)
        self._desk.send_due()

    def _status(self) -> dict[str, Any]:
        """Return status.json, which is written after the loggers have been closed; how it was said without one."""
        until_s = time.monotonic() + STATUS_S
        while not (status := status_of(self._run_dir)) and self._trainer.is_there and time.monotonic() < until_s:
            time.sleep(SHORT_S)
        status = status or status_of(self._run_dir)  # written while it was found to be gone
        return status or {"status": self._trainer.said}

    def _send_all(self) -> None:
        until_s = time.monotonic() + GIVE_UP_S
        while not self._desk.is_empty and time.monotonic() < until_s:
            self._desk.send_due(everything=True)
            if not self._desk.is_empty:
                time.sleep(LOOK_S)
        if not self._desk.is_empty:
            print("given up: what is left was not sent", file=sys.stderr, flush=True)


def leave_console() -> None:
    """Let the trainer end: there is nothing more to say."""
    with contextlib.suppress(OSError):  # nobody may be there any more
        sys.stdout.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def sending(
    channel: dict[str, Any], timeout_s: float
) -> tuple[Callable[[Message], None], Callable[[Exception], str], tuple[str, ...]]:
    """Return what sends a message, what explains its errors, and the secrets that no message may hold."""
    if channel["kind"] == "webhook":
        url = os.environ[channel["url_env"]].strip()
        return post.poster(url, channel["receiver"], timeout_s), post.explain, pieces_of(url)
    password = "" if channel["user"] is None else os.environ[channel["password_env"]].strip()
    hidden = (password,) if len(password) >= MIN_CHARS else ()
    return smtp.mailer(channel, password, timeout_s), smtp.explain, hidden


def pieces_of(url: str) -> tuple[str, ...]:
    """Return what of an address stands in no message: itself, its query, and a path that is no everyday word."""
    parts = urlsplit(url)
    path = (parts.path,) if len(parts.path) >= MIN_PATH else ()
    query = (parts.query,) if len(parts.query) >= MIN_CHARS else ()
    asked = (f"?{parts.query}",) if parts.query else ()  # a short one is known by its question mark
    return (url, *path, *query, *asked)


def run_name(run_dir: Path) -> str:
    """Return the name of the run, for people."""
    with contextlib.suppress(OSError, yaml.YAMLError, LookupError, TypeError):
        return str(read_yaml((run_dir / CONFIG).read_text(encoding="utf-8"))["run_name"])
    return run_dir.name


if __name__ == "__main__":
    main()
