"""Weights & Biases at arm's length: a child process talks to it, training hands lines over and never waits.

A thread is not enough: with the network down, wandb's own exit handler held a finished process for 61 s. A child
process can be left behind, keeps its work off the trainer's interpreter lock, and closes the run properly when the
trainer is killed, because it sees the end of its pipe.
"""

from __future__ import annotations

import contextlib
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Literal

from foundation.errors import require
from foundation.text import one_line
from pretrain.json_lines import json_line
from pretrain.seats import Logger

# what a run is compared by; nothing else of the config leaves the machine
CONFIG_KEYS = (
    *("model", "data", "optim", "schedule", "parallel", "precision", "trainer", "spike", "checkpoint", "eval"),
    *("seed", "run_name", "resume"),
)
CHILD = (sys.executable, "-P", "-m", "pretrain.metrics.wandb_child")  # -P: a folder `wandb` here is not the package
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
        require(queue_lines >= 1, "queue_lines", queue_lines, "1 or more; 10000 is the default")
        require(close_timeout_s >= 0, "close_timeout_s", close_timeout_s, "0 not to wait, or more")
        self._greeting = {
            "run_dir": str(run_dir.absolute()),
            "project": project,
            "entity": entity,
            "mode": mode,
            "config_keys": list(CONFIG_KEYS) if config_keys is None else config_keys,
            "tags": tags or [],
        }
        self._log_path, self._close_timeout_s = run_dir / LOG, close_timeout_s
        self._queue: queue.Queue[dict[str, Any]] = queue.Queue(queue_lines)
        self._thread: threading.Thread | None = None
        self._dead = False
        self.num_dropped = 0

    def log(self, line: dict[str, Any]) -> None:
        if self._dead:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._feed, name="wandb", daemon=True)
            self._thread.start()
        try:
            self._queue.put_nowait({"line": line})
        except queue.Full:
            if not self.num_dropped:
                _say("it does not keep up; lines are dropped for it (metrics.jsonl has them all)")
            self.num_dropped += 1

    def close(self, status: str) -> None:
        if self._thread is None or self._dead:
            return
        if self.num_dropped:
            _say(f"{self.num_dropped} lines were dropped")
        deadline = time.monotonic() + self._close_timeout_s
        try:
            self._queue.put({"close": status}, timeout=self._close_timeout_s)
        except queue.Full:
            pass
        else:
            self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            _say(f"not done after {self._close_timeout_s:.0f} s; it goes on without this process, see {self._log_path}")

    def _feed(self) -> None:
        """Start the child and hand it what is in the queue, until the message that closes. Runs in the thread."""
        try:
            with self._log_path.open("ab") as log:
                child = subprocess.Popen(
                    CHILD, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True
                )
            assert child.stdin is not None and child.stdout is not None
            threading.Thread(target=_repeat, args=(child.stdout,), name="wandb-says", daemon=True).start()
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
            _say(f"stopped ({type(error).__name__}: {error}); training goes on, see {self._log_path}")


def _repeat(lines: Any) -> None:
    for line in lines:
        _say(line.decode(errors="backslashreplace").rstrip("\n"))


def _say(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # nobody may be there to read it
        print(f"wandb: {one_line(text)}", file=sys.stderr, flush=True)
