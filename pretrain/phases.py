"""Where a step's time goes: waiting for data, for other ranks' counts of targets, forward and backward, looking into
the step, the update. Measured from the loop's own marks.

On a CPU the host's clock is the device's. A GPU works behind the host, whose times say when work was queued: there an
event is recorded where a part begins and read when the step's own result is, two steps later, so nothing waits for it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import torch

from pretrain.heartbeat import Heartbeat, Phase

DATA, COUNTS, COMPUTE, WATCH, UPDATE = "data_s", "counts_s", "forward_backward_s", "watch_s", "optimizer_s"
PARTS = {
    Phase.LOADING: DATA,
    Phase.COUNTING: COUNTS,
    **dict.fromkeys((Phase.FORWARD, Phase.BACKWARD, Phase.EXCHANGE), COMPUTE),
    Phase.WATCHING: WATCH,
    Phase.UPDATE: UPDATE,
}


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


class Mark(NamedTuple):
    """An event on the device, where a part of a step begins; of a phase that is no part's the name is empty."""

    part: str
    event: torch.cuda.Event


class DeviceTimes:
    """Times of phases by the device's clock: what it waits for data, computes, updates.

    Args:
        heartbeat: whose marks are heard from now on.
    """

    def __init__(self, heartbeat: Heartbeat) -> None:
        heartbeat.listener = self._mark
        self._marks: list[Mark] = []

    def _mark(self, phase: Phase) -> None:
        if phase is Phase.LOADING:
            self._marks = []  # a new list: the step before may still have the old one
        part = PARTS.get(phase, "")
        if phase is Phase.LOADING or (self._marks and part != self._marks[-1].part):  # micro batches are one part
            event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            event.record()
            self._marks.append(Mark(part, event))

    def cut(self) -> list[Mark]:
        """Return the marks of the step that ends; none where it got to no update: nothing is known of it then."""
        marks, self._marks = self._marks, []
        return marks if any(mark.part == UPDATE for mark in marks) else []


def read_marks(marks: Sequence[Mark], end: torch.cuda.Event | None) -> dict[str, float]:
    """Return seconds of each part of a step that the host has waited for.

    Args:
        marks: of the step. end: recorded when its result was on its way.
    """
    assert end is not None, "where there are events, there is one of the end"
    spent_s = dict.fromkeys(PARTS.values(), 0.0) if marks else {}
    for mark, stop in zip(marks, [*(mark.event for mark in marks[1:]), end], strict=True):
        if mark.part:
            spent_s[mark.part] += mark.event.elapsed_time(stop) / 1000
    return spent_s
