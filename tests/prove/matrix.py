"""All faults, in the order of the matrix, and the rows of it that none is for."""

from __future__ import annotations

from tests.prove import damage, disks, folders, restarts, resumes, shards, signals, writes
from tests.prove.faults import Fault

FAMILIES = (writes, signals, restarts, disks, damage, folders, shards, resumes)
FAULTS: list[Fault] = sorted((fault for family in FAMILIES for fault in family.FAULTS), key=lambda fault: fault.rows)
# row -> what it is, and why no fault here is for it
BEYOND: list[tuple[str, str]] = [
    ("7", "a hang that holds the GIL: needs a watchdog outside of the process"),
    ("8", "a network partition, loss, delay between ranks: needs several hosts or network namespaces"),
    ("9", "a rendezvous port that is taken: torchrun's --standalone takes a free one"),
    ("19", "a NaN batch, spikes: the guard's own tests inject them (tests/pretrain/stability)"),
    ("23, 24", "memory, descriptors and shared memory exhausted: not injected yet"),
    ("29, 30", "the data pipeline: its own tests kill its stages and workers (tests/data_pipeline)"),
    ("32", "a logger that is down or slow: its own tests (tests/pretrain/metrics/test_wandb.py)"),
]
