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
BEGUN = "begun_from"  # the event of a journal's line: the run's first steps are another's
CHANGE = "change"  # another: what the run goes on with from `step` on that is not as it was
