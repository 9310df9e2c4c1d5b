"""The names of what lies in a run's folder."""

from __future__ import annotations

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
BEGUN = "begun_from"  # the event of a journal's line: the run's first steps are another's
CHANGE = "change"  # another: what the run goes on with from `step` on that is not as it was
DYING_LAYER = "dying_layer"  # likewise: a layer's gradient stays near zero


def box_name(step: int, data_step: int) -> str:
    """Return the name of a step's folder in blackbox/: a step that is done again with another batch has another."""
    return f"step_{step:08d}_batch_{data_step:08d}"
