"""A logger at arm's length: a child process does the work, training hands messages over and never waits.

A thread is not enough: with the network down, wandb's own exit handler held a finished process for 61 s. A child
process can be left behind, keeps its work off the trainer's interpreter lock, and closes things properly when the
trainer is killed, because it sees the end of its pipe.
"""

from __future__ import annotations

import atexit
import contextlib
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from foundation.errors import require
from foundation.text import one_line
from pretrain.json_lines import json_line


class Child:
    """A process that reads a JSON message a line from stdin; started at the first message.

    It gets `greeting`, what `send` is given, and {"close": status}. What it says on stdout is repeated on stderr.

    Args:
        name: of the logger, in front of all it says.
        module: of the child, run as `python -P -m`: a folder in the working folder is no package of its name.
        greeting: the first message.
        log_path: where the child's stderr goes.
        queue_lines: messages that may wait; more are dropped and counted.
        close_timeout_s: how long the end of a run waits for the last ones; the child goes on alone after.
    Attributes:
        num_dropped: messages that found no room.
    Raises:
        SettingError: a number that can't be.
    """

    def __init__(
        self,
        name: str,
        module: str,
        greeting: dict[str, Any],
        log_path: Path,
        queue_lines: int,
        close_timeout_s: float,
    ) -> None:
        require(queue_lines >= 1, "queue_lines", queue_lines, "1 or more; 10000 is the default")
        require(close_timeout_s >= 0, "close_timeout_s", close_timeout_s, "0 not to wait, or more")
        self._name, self._command = name, (sys.executable, "-P", "-m", module)
        self._greeting, self._log_path, self._close_timeout_s = greeting, log_path, close_timeout_s
        self._queue: queue.Queue[dict[str, Any]] = queue.Queue(queue_lines)
        self._thread: threading.Thread | None = None
        self._dead, self._silent = False, threading.Event()
        self.num_dropped = 0

    def send(self, message: dict[str, Any]) -> None:
        """Hand a message over: JSON values that nobody changes any more."""
        if self._dead:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._feed, name=self._name, daemon=True)
            self._thread.start()
        try:
            self._queue.put_nowait(message)
        except queue.Full:
            if not self.num_dropped:
                self.say("it does not keep up; lines are dropped for it (metrics.jsonl has them all)")
            self.num_dropped += 1

    def close(self, status: str) -> None:
        """Say that the run has ended, and wait for the child as long as that may take."""
        if self._thread is None or self._dead:
            return
        if self.num_dropped:
            self.say(f"{self.num_dropped} lines were dropped")
        deadline = time.monotonic() + self._close_timeout_s
        try:
            self._queue.put({"close": status}, timeout=self._close_timeout_s)
        except queue.Full:
            pass
        else:
            self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            self._say_late()

    def leave(self, status: str) -> None:
        """Say that the run ends, and don't wait: the child looks up for itself how, and ends by itself.

        The end of this process waits for it as long as `close_timeout_s`: a container or a batch system ends with it.
        """
        if self._thread is None or self._dead:
            return
        with contextlib.suppress(queue.Full):  # then it hears the end of its pipe
            self._queue.put_nowait({"close": status})
        atexit.register(self._hear_out)

    def say(self, text: str) -> None:
        """Say a line on stderr, if somebody is there to read it."""
        with contextlib.suppress(OSError, ValueError):
            print(f"{self._name}: {one_line(text)}", file=sys.stderr, flush=True)

    def _feed(self) -> None:
        """Start the child and hand it what is in the queue, until the message that closes. Runs in the thread."""
        try:
            with self._log_path.open("ab") as log:
                child = subprocess.Popen(
                    self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True
                )
            assert child.stdin is not None and child.stdout is not None
            threading.Thread(target=self._repeat, args=(child.stdout,), name=f"{self._name}-says", daemon=True).start()
            message = self._greeting
            while True:
                child.stdin.write(json_line(message))
                child.stdin.flush()
                if "close" in message:
                    break
                message = self._queue.get()
            child.stdin.close()
            if code := child.wait():
                raise ChildProcessError(f"its process ended with code {code}")
        except Exception as error:  # whatever it is, it must not reach training
            self._dead = True
            self._silent.set()
            self.say(f"stopped ({type(error).__name__}: {error}); training goes on, see {self._log_path}")

    def _repeat(self, lines: Any) -> None:
        for line in lines:
            self.say(line.decode(errors="backslashreplace").rstrip("\n"))
        self._silent.set()

    def _hear_out(self) -> None:
        """Wait until the child has closed its stdout: it has nothing more to say."""
        if not self._silent.wait(self._close_timeout_s):
            self._say_late()

    def _say_late(self) -> None:
        timeout_s = f"{self._close_timeout_s:.0f} s"
        self.say(f"not done after {timeout_s}; it goes on without this process, see {self._log_path}")
