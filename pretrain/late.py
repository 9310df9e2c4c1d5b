"""Results of steps on their way to the host: copied without a sync, read two steps later at a fixed lag.

Every rank reads the same record at the same step, so what the host decides from it is the same everywhere.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from pretrain.heartbeat import Heartbeat
from pretrain.phases import DeviceTimes, HostTimes, Mark, read_marks
from pretrain.types import ASKED, Record, StepResult

PIECE_BITS = 24  # of an integer, that float32 holds exactly: it travels in pieces, so that one copy is enough
PIECES = 3  # for 64 bits
LAG_STEPS = 2  # long enough that the copy has landed, short enough to stop soon


class _Waiting(NamedTuple):
    step: int
    data_step: int
    lr: float
    finished_s: float
    values: Tensor
    event: torch.cuda.Event | None
    times: dict[str, float] | list[Mark]
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
        self._shifts = torch.arange(PIECES, device=device).unsqueeze(1) * PIECE_BITS
        self._waiting: deque[_Waiting] = deque()
        self._last_finished_s = clock()

    def push(self, step: int, data_step: int, lr: float, result: StepResult) -> None:
        """Start the copy of one result to the host.

        Args:
            step: steps finished with it. data_step: the batch it took. lr: its learning rate. result: on the device.
        """
        values = self._packed(result)
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
            waited = self._waiting.popleft()
            finished_s = waited.finished_s
            if waited.event is not None:
                waited.event.synchronize()
                finished_s = self._clock()
            self._last_finished_s = finished_s
            yield _record(waited, finished_s, _times(waited))

    def landed(self) -> Iterator[Record]:
        """Yield those that are here already, oldest first, and wait for nothing: for a run that ends by an error.

        Raises:
            RuntimeError: the device is broken.
        """
        while self._waiting and _has_landed(self._waiting[0].event):
            waited = self._waiting.popleft()
            times = _times(waited)
            if waited.event is not None:  # nobody has waited for it when it was done
                took_s = sum(times.values()) or self._clock() - self._last_finished_s
                waited = waited._replace(finished_s=min(self._last_finished_s + took_s, self._clock()))
            self._last_finished_s = waited.finished_s
            yield _record(waited, waited.finished_s, times)

    def _packed(self, result: StepResult) -> Tensor:
        """Return (PIECES * (4 + sources) + 3 + sources + K,) float32, as `_record` takes it apart."""
        measured = result.measured
        single = torch.stack([result.num_targets, result.stop, measured.batch_hash, measured.grad_max_at])
        integers = torch.cat([single, measured.source_targets])
        pieces = (integers >> self._shifts) & ((1 << PIECE_BITS) - 1)
        floats = torch.stack([result.loss, result.grad_norm, measured.grad_max])
        return torch.cat([pieces.flatten().float(), floats, measured.source_nats, result.judgement])


def _has_landed(event: torch.cuda.Event | None) -> bool:
    return event is None or bool(event.query())  # type: ignore[no-untyped-call]


def _times(waited: _Waiting) -> dict[str, float]:
    """Return the parts of the time of a step that is done, in seconds."""
    return waited.times if isinstance(waited.times, dict) else read_marks(waited.times, waited.event)


def _record(waited: _Waiting, finished_s: float, times: dict[str, float]) -> Record:
    num_sources, values = len(waited.result.measured.source_nats), waited.values.tolist()
    count = 4 + num_sources
    pieces, rest = [int(value) for value in values[: PIECES * count]], iter(values[PIECES * count :])
    integers = [sum(pieces[i + count * k] << (PIECE_BITS * k) for k in range(PIECES)) for i in range(count)]
    num_targets, stop, batch_hash, grad_max_at, *source_targets = integers
    loss, grad_norm, grad_max = islice(rest, 3)
    source_nats = tuple(islice(rest, num_sources))
    bad, *evidence = rest
    return Record(
        waited.step,
        waited.data_step,
        waited.lr,
        finished_s,
        loss,
        grad_norm,
        skipped=bad > 0,
        num_targets=num_targets,
        stop=stop % ASKED > 0,
        asked=stop >= ASKED,
        evidence=tuple(evidence),
        result=waited.result,
        times=times,
        batch_hash=batch_hash % 2**64,
        grad_max=grad_max,
        grad_max_at=grad_max_at,
        source_nats=source_nats,
        source_targets=tuple(source_targets),
    )
