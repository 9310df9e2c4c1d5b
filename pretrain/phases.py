"""Where a step's time goes: waiting for data, forward and backward, the update. Measured from the loop's own marks.

On a CPU the host's clock is the device's. A GPU works behind the host, whose times say when work was queued: there an
event is recorded at each mark and read when the step's own result is, two steps later, so nothing waits for it.
"""

from __future__ import annotations

import itertools
import time
from typing import NamedTuple

import torch

from pretrain.heartbeat import Heartbeat, Phase

DATA, COMPUTE, UPDATE = "data_s", "forward_backward_s", "optimizer_s"
PARTS = {
    Phase.LOADING: DATA,
    **dict.fromkeys((Phase.FORWARD, Phase.BACKWARD, Phase.EXCHANGE), COMPUTE),
    Phase.UPDATE: UPDATE,
}
MARKED = (Phase.LOADING, Phase.FORWARD, Phase.UPDATE)  # where a part begins


class HostTimes:
    """Times of phases by the host's clock.

    Args:
        heartbeat: whose marks are heard from now on.
    """

    def __init__(self, heartbeat: Heartbeat) -> None:
        heartbeat.listener = self._mark
        self._phase, self._since_s = Phase.STARTING, time.perf_counter()
        self._spent_s = dict.fromkeys(PARTS.values(), 0.0)

    def _mark(self, phase: Phase) -> None:
        now_s = time.perf_counter()
        if part := PARTS.get(self._phase):
            self._spent_s[part] += now_s - self._since_s
        self._phase, self._since_s = phase, now_s

    def cut(self) -> dict[str, float]:
        """Return seconds of each part since the last cut: a step's, when it ends."""
        self._mark(self._phase)
        spent_s, self._spent_s = self._spent_s, dict.fromkeys(self._spent_s, 0.0)
        return spent_s


class Marks(NamedTuple):
    """Events of one step on the device, where each part begins."""

    loading: torch.cuda.Event
    forward: torch.cuda.Event
    update: torch.cuda.Event


class DeviceTimes:
    """Times of phases by the device's clock: what it waits for data, computes, updates.

    Args:
        heartbeat: whose marks are heard from now on.
    """

    def __init__(self, heartbeat: Heartbeat) -> None:
        heartbeat.listener = self._mark
        self._events: dict[Phase, torch.cuda.Event] = {}

    def _mark(self, phase: Phase) -> None:
        if phase is Phase.LOADING:
            self._events.clear()
        if phase in MARKED and phase not in self._events:  # of several micro batches the first begins it
            event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            event.record()
            self._events[phase] = event

    def cut(self) -> Marks | dict[str, float]:
        """Return the events of the step that ends; where it was not marked, nothing is known of it."""
        return Marks(*(self._events[phase] for phase in MARKED)) if len(self._events) == len(MARKED) else {}


def read_marks(marks: Marks, end: torch.cuda.Event | None) -> dict[str, float]:
    """Return seconds of each part of a step that the host has waited for.

    Args:
        marks: of the step. end: recorded when its result was on its way.
    """
    assert end is not None, "where there are events, there is one of the end"
    spans = (one.elapsed_time(other) / 1000 for one, other in itertools.pairwise((*marks, end)))
    return dict(zip((DATA, COMPUTE, UPDATE), spans, strict=True))
