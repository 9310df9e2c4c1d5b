"""All faults, in the order of the matrix, and the rows of it that none is for."""

from __future__ import annotations

from tests.prove import damage, disks, folders, limits, restarts, resumes, shards, signals, writes
from tests.prove.faults import Fault

FAMILIES = (writes, signals, restarts, disks, damage, folders, shards, resumes, limits)
FAULTS: list[Fault] = sorted((fault for family in FAMILIES for fault in family.FAULTS), key=lambda fault: fault.rows)
# row -> what it is, and why no fault here is for it
BEYOND: list[tuple[str, str]] = [
    (
        "8",
        "a network partition, loss, delay between ranks: one machine could with network namespaces; not injected yet",
    ),
    ("9", "a rendezvous port that is taken: torchrun's --standalone takes a free one"),
    ("19", "a NaN batch, spikes: the guard's own tests inject them (tests/pretrain/stability)"),
    ("29, 30", "the data pipeline: its own tests kill its stages and workers (tests/data_pipeline)"),
    ("32", "a logger that is down or slow: its own tests (tests/pretrain/metrics/test_wandb.py)"),
]
