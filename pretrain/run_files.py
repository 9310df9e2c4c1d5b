"""The names of what lies in a run's folder."""

from __future__ import annotations

CONFIG = "config.yaml"
STATUS = "status.json"
ATTEMPTS = "attempts.json"
HANG = "hang.txt"
METRICS = "metrics.jsonl"
JOURNAL = "journal.jsonl"
SAMPLES = "samples.jsonl"
WATCH = "watch.jsonl"
DATAPOINTS = "datapoints.jsonl"
CHECKPOINTS = "checkpoints"
REPORT = "report.html"
