"""All faults, in the order of the matrix, and the rows of it that none is for."""

from __future__ import annotations

from tests.prove import signals, writes
from tests.prove.faults import Fault

FAULTS: list[Fault] = sorted((*writes.FAULTS, *signals.FAULTS), key=lambda fault: fault.rows)
BEYOND: list[tuple[str, str]] = []
