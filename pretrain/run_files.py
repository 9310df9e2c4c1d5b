"""The names of what lies in a run's folder."""

from __future__ import annotations

CONFIG = "config.yaml"
STATUS = "status.json"
METRICS = "metrics.jsonl"
JOURNAL = "journal.jsonl"
SAMPLES = "samples.jsonl"
CHECKPOINTS = "checkpoints"
REPORT = "report.html"
