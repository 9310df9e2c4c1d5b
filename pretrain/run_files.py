"""The names of what lies in a run's folder, and how rooms that don't know each other read it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from foundation.files import read_json

CONFIG = "config.yaml"
STATUS = "status.json"
ATTEMPTS = "attempts.json"
HANG = "hang.txt"
CONTROL = "control"
METRICS = "metrics.jsonl"
DROPPED = "metrics.dropped.jsonl"
REPLAYED_STEPS = "replay.json"
JOURNAL = "journal.jsonl"
LEDGER = "ledger.jsonl"
SAMPLES = "samples.jsonl"
WATCH = "watch.jsonl"
DATAPOINTS = "datapoints.jsonl"
ABOUT = "about.json"
CHECKPOINTS = "checkpoints"
REPORT = "report.html"
BLACKBOX = "blackbox"
CRASH_LOOP = "crash_loop"  # a key of status.json: it fails at the same step each time
FINAL = "final"  # another: what ended the run would end the next start as well
NO_SIGN = " gave no sign for "  # stands in the first line of each of the watchdog's reports
_HANG_HEAD = re.compile(rf"(?m)^\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d (.*{NO_SIGN}.*)$")


def box_name(step: int, data_step: int) -> str:
    """Return the name of a step's folder in blackbox/: a step that is done again with another batch has another."""
    return f"step_{step:08d}_batch_{data_step:08d}"


def read_status(folder: Path) -> dict[str, Any]:
    """Return status.json's content; empty while a run goes on or was killed."""
    path = folder / STATUS
    return dict(read_json(path)) if path.exists() else {}


def hang_heads(text: str) -> list[str]:
    """Return the first line of each report in a piece of hang.txt, without its time."""
    return _HANG_HEAD.findall(text)
