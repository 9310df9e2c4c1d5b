"""attempts.json: how a run's last starts ended, so that a crash at one step is not repeated for ever."""

from __future__ import annotations

import socket
import sys
import time
from pathlib import Path
from typing import Any

from foundation.errors import GroundworkError, InputError
from foundation.files import read_json, write_json
from foundation.secrets import without_secrets
from foundation.text import one_line
from pretrain.json_lines import JsonLines
from pretrain.metrics.lines import read_metrics
from pretrain.run_files import ATTEMPTS, HANG, LEDGER, METRICS, hang_heads
from pretrain.types import Status

KEPT = 20  # the newest attempts
MAX_TRIES = 3  # that fail at one step
SAME_STEPS = 2  # lines are written so many steps late: where a killed try was is known that well
IN_FLIGHT = 4  # steps that may have begun after the last line was written
MAX_REASON = 1000
KEYS = frozenset({"started_s", "restarts", "status", "step", "data_step", "reason"})  # of each attempt
KILLED = "killed without a word: kill -9, out of memory, or the machine went down"


class CrashLoop(GroundworkError):
    """The last tries failed at the same step; another one would as well.

    Attributes:
        step: the last that they finished.
    """

    exit_code = 4
    restart_helps = False

    def __init__(self, message: str, step: int) -> None:
        super().__init__(message)
        self.step = step


def open_attempt(folder: Path, tree: dict[str, Any], restarts: int) -> None:
    """Write down that a try begins; the one before it, if it left no word, was killed.

    Args:
        folder: runs/<run_name>, locked. tree: the resolved config. restarts: of the ranks by their launcher; 0 is a
            line typed by hand, which always may try.
    Raises:
        CrashLoop: `MAX_TRIES` in a row failed at one step.
    """
    _set_damaged_aside(folder)
    attempts = read_attempts(folder)
    if attempts and attempts[-1]["status"] is None:
        attempts[-1] |= _of_a_killed_one(folder, attempts[-1])
        _write(folder, attempts)
    if restarts and (tries := tries_at_one_step(attempts)):
        batch_size = int(tree["trainer"]["global_batch_size"])
        raise CrashLoop(diagnosis(tries, folder, batch_size), int(tries[-1]["step"]))
    JsonLines(folder / LEDGER).append({"event": "start", "at_s": time.time(), "restarts": restarts}, durable=True)
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    place = {"host": socket.gethostname(), "started": now, "started_s": time.time()}
    attempts.append({**place, "restarts": restarts, "status": None, "step": None, "data_step": None, "reason": None})
    _write(folder, attempts)


def close_attempt(folder: Path, status: Status, reason: str, step: int, data_step: int) -> None:
    """Write down how the try ended. Steps and batches are those it had finished."""
    if attempts := read_attempts(folder):
        attempts[-1] |= _ended(status, reason, step, data_step, exact=True)
        _write(folder, attempts)


def withdraw_attempt(folder: Path) -> None:
    """Forget the try: it was refused before it began."""
    JsonLines(folder / LEDGER).append({"event": "withdrawn", "at_s": time.time()}, durable=True)
    if attempts := read_attempts(folder):
        _write(folder, attempts[:-1])


def read_attempts(folder: Path) -> list[dict[str, Any]]:
    """Return the attempts, oldest first; none where the file is damaged: a diary holds no run up."""
    path = folder / ATTEMPTS
    return list(read_json(path)["attempts"]) if path.exists() and _is_readable(path) else []


def hang_since(folder: Path, started_s: float) -> str:
    """Return what the watchdog last wrote in one line, if that was after this time; else an empty text."""
    path = folder / HANG
    if not path.exists() or path.stat().st_mtime < started_s:
        return ""
    heads = hang_heads(path.read_text(encoding="utf-8", errors="replace"))
    return heads[-1] if heads else ""


def tries_at_one_step(attempts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the last tries, if `MAX_TRIES` in a row failed at one step since the line was typed; else none."""
    tries: list[dict[str, Any]] = []
    for attempt in reversed(attempts):
        failed = attempt["status"] == Status.FAILED.value
        if not failed or abs(attempt["step"] - attempts[-1]["step"]) > SAME_STEPS:
            break
        tries.insert(0, attempt)
        if len(tries) == MAX_TRIES:
            return tries
        if not attempt["restarts"]:
            break
    return []


def diagnosis(tries: list[dict[str, Any]], folder: Path, global_batch_size: int) -> str:
    """Return what is known of tries that failed at one step, and what to do."""
    last = tries[-1]
    first_batch, batches = last["data_step"], 1 if last["exact"] else IN_FLIGHT
    samples = f"{first_batch * global_batch_size} to {(first_batch + batches) * global_batch_size - 1}"
    steps = f"step {last['step'] + 1}" if batches == 1 else f"steps {last['step'] + 1} to {last['step'] + batches}"
    reasons = list(dict.fromkeys(attempt["reason"] for attempt in tries))
    told = "\n".join(f"  {reason}" for reason in reasons)
    return (
        f"{folder}: a crash loop: {len(tries)} tries in a row failed after step {last['step']}:\n{told}\n"
        f"{steps} read the samples {samples} (seed and mixture as in config.yaml). If memory is short, lower "
        f"trainer.micro_batch_size; if a rank hangs, {HANG} in that folder has its stacks; if a shard is damaged, make "
        "it anew. The same line typed again tries once more"
    )


def _of_a_killed_one(folder: Path, attempt: dict[str, Any]) -> dict[str, Any]:
    last: dict[str, Any] = {}
    for line in read_metrics(folder / METRICS):
        last = line
    reason = hang_since(folder, attempt["started_s"]) or KILLED
    step, data_step = int(last.get("step", 0)), int(last.get("data_step", -1)) + 1
    return _ended(Status.FAILED, reason, step, data_step, exact=False)


def _set_damaged_aside(folder: Path) -> None:
    path = folder / ATTEMPTS
    if path.exists() and not _is_readable(path):
        aside = path.with_name(f"{path.name}.damaged")
        path.replace(aside)
        print(
            f"{path}: can't be read, and is {aside.name} now; the starts are counted anew", file=sys.stderr, flush=True
        )


def _is_readable(path: Path) -> bool:
    try:
        attempts = read_json(path)["attempts"]
        return all(attempt.keys() >= KEYS for attempt in attempts)
    except (InputError, LookupError, TypeError, AttributeError):
        return False


def _ended(status: Status, reason: str, step: int, data_step: int, exact: bool) -> dict[str, Any]:
    told = one_line(without_secrets(reason), MAX_REASON)
    return {"status": status.value, "reason": told, "step": step, "data_step": data_step, "exact": exact}


def _write(folder: Path, attempts: list[dict[str, Any]]) -> None:
    write_json(folder / ATTEMPTS, {"attempts": attempts[-KEPT:]})
