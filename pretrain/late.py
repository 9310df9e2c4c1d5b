"""Results of steps on their way to the host: copied without a sync, read two steps later at a fixed lag.

Every rank reads the same record at the same step, so what the host decides from it is the same everywhere.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from pretrain.heartbeat import Heartbeat
from pretrain.phases import DeviceTimes, HostTimes, Marks, read_marks
from pretrain.types import Record, StepResult

COUNT_BITS = 24  # of a count that float32 holds: the rest travels as a number of its own, so that one copy is enough
LAG_STEPS = 2  # long enough that the copy has landed, short enough to stop soon


class _Waiting(NamedTuple):
    step: int
    data_step: int
    lr: float
    finished_s: float
    values: Tensor
    event: torch.cuda.Event | None
    times: dict[str, float] | Marks
    result: StepResult


class LateRecords:
    """A queue of step results of which the host sees those at least LAG_STEPS old.

    Args:
        device: where the results are.
        clock: seconds of training. On a GPU it is read when the host has waited for the step, which is when the device
            was done: queued are three steps in the time of none, and their speed would be above the device's peak.
        heartbeat: whose marks tell where a step's time goes; without one nothing is told of that.
    """

    def __init__(self, device: torch.device, clock: Callable[[], float], heartbeat: Heartbeat | None = None) -> None:
        self._pinned, self._clock = device.type == "cuda", clock
        self._times = (DeviceTimes if self._pinned else HostTimes)(heartbeat or Heartbeat())
        self._waiting: deque[_Waiting] = deque()

    def push(self, step: int, data_step: int, lr: float, result: StepResult) -> None:
        """Start the copy of one result to the host.

        Args:
            step: steps finished with it. data_step: the batch it took. lr: its learning rate. result: on the device.
        """
        high, low = result.num_targets >> COUNT_BITS, result.num_targets & ((1 << COUNT_BITS) - 1)
        measured = torch.stack([result.loss, result.grad_norm, high.float(), low.float(), result.stop.float()])
        values = torch.cat([measured, result.judgement])
        event = None
        if self._pinned:
            host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            values = host.copy_(values, non_blocking=True)
            event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            event.record()
        self._waiting.append(_Waiting(step, data_step, lr, self._clock(), values, event, self._times.cut(), result))

    def ready(self, drain: bool = False) -> Iterator[Record]:
        """Yield the records that are old enough, oldest first; with `drain` all of them (a sync, for saves)."""
        while len(self._waiting) > (0 if drain else LAG_STEPS):
            step, data_step, lr, finished_s, values, event, times, result = self._waiting.popleft()
            if event is not None:
                event.synchronize()
                finished_s = self._clock()
            loss, grad_norm, high, low, stop, bad, *evidence = values.tolist()
            yield Record(
                step,
                data_step,
                lr,
                finished_s,
                loss,
                grad_norm,
                skipped=bad > 0,
                num_targets=(int(high) << COUNT_BITS) + int(low),
                stop=stop > 0,
                evidence=tuple(evidence),
                result=result,
                times=times if isinstance(times, dict) else read_marks(times, event),
            )
