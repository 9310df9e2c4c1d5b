"""Results reach the host at a fixed lag, in order, each once."""

from __future__ import annotations

import itertools
import statistics
import time

import pytest
import torch

from pretrain.late import LAG_STEPS, LateRecords
from pretrain.types import Measured, StepResult

HASHES = [0, 1, -1, -(2**63), 2**63 - 1, 0x123456789ABCDEF0, -2, 3]  # as int64 holds a sum modulo 2^64
TARGETS = 61 << 20  # tokens of a large batch: no float32 holds the odd counts above 2^24


def result(step: int) -> StepResult:
    loss, grad_norm = torch.tensor(step / 10), torch.tensor(float(step * 2))
    num_targets, stop = torch.tensor(TARGETS + step), torch.tensor(int(step == 5))
    targets_S = torch.stack([num_targets - step, torch.tensor(step)])
    measured = Measured(torch.tensor(HASHES[step]), -loss, torch.tensor(step), torch.stack([loss, -loss]), targets_S)
    judgement = torch.tensor([float(step == 3), step + 0.5, -step])
    return StepResult(loss, grad_norm, judgement, num_targets, stop, loss[None], loss[None], measured)


def on_a_gpu() -> StepResult:
    ones, count = torch.ones((), device="cuda"), torch.ones((), dtype=torch.int64, device="cuda")
    measured = Measured(count, ones, count, ones[None], count[None])
    return StepResult(ones, ones, ones[None], count, count, ones[None], ones[None], measured)


def push(late: LateRecords, step: int) -> None:
    late.push(step, step - 1, 1e-3 * step, result(step))


def on_the_host() -> LateRecords:
    """Records of a CPU whose clock ticks once a look."""
    ticks = itertools.count(1)
    return LateRecords(torch.device("cpu"), lambda: float(next(ticks)))


def test_a_record_is_seen_when_it_is_old_enough() -> None:
    late = on_the_host()
    seen = []
    for step in range(1, 8):
        push(late, step)
        seen.append([record.step for record in late.ready()])
    assert seen == [[]] * LAG_STEPS + [[step] for step in range(1, 8 - LAG_STEPS)]
    assert [record.step for record in late.ready(drain=True)] == [6, 7]


def test_a_record_says_what_the_step_measured() -> None:
    late = on_the_host()
    for step in range(1, 6):
        push(late, step)
    records = list(late.ready(drain=True))
    assert [record.skipped for record in records] == [False, False, True, False, False]
    assert [record.stop for record in records] == [False, False, False, False, True]
    assert [record.num_targets for record in records] == [TARGETS + step for step in range(1, 6)]
    assert [record.evidence for record in records] == [(step + 0.5, -step) for step in range(1, 6)]
    assert [record.batch_hash for record in records] == [each % 2**64 for each in HASHES[1:6]]
    assert [record.grad_max_at for record in records] == [1, 2, 3, 4, 5]
    assert [record.source_targets for record in records] == [(TARGETS, step) for step in range(1, 6)]
    assert records[1].source_nats == pytest.approx((0.2, -0.2)) and records[1].grad_max == pytest.approx(-0.2)
    assert records[1].loss == pytest.approx(0.2)
    assert (records[1].data_step, records[1].lr) == (1, 2e-3)
    assert records[1].finished_s == 3.0  # 1.0 is when the first step began


class OnADevice:
    """Stands for a CUDA event: done, not done, or of a device that is broken."""

    def __init__(self, done: bool | Exception) -> None:
        self.done = done

    def query(self) -> bool:
        if isinstance(self.done, Exception):
            raise self.done
        return self.done


def test_what_has_landed_is_given_without_a_wait_and_in_order() -> None:
    late, done = on_the_host(), [OnADevice(True), OnADevice(False), OnADevice(True)]
    for step, event in enumerate(done, start=1):
        push(late, step)
        late._waiting[-1] = late._waiting[-1]._replace(event=event, times={"forward_backward_s": 0.5})
    (first,) = late.landed()
    assert (first.step, first.finished_s) == (1, 1.5)  # half a second after the start
    assert list(late.landed()) == []
    done[1].done = True
    assert [(each.step, each.finished_s) for each in late.landed()] == [(2, 2.0), (3, 2.5)]
    push(late, 4)
    late._waiting[-1] = late._waiting[-1]._replace(event=OnADevice(RuntimeError("CUDA error")))
    with pytest.raises(RuntimeError, match=r"^CUDA error$"):
        next(late.landed())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_what_has_landed_is_told_by_the_device() -> None:
    late = LateRecords(torch.device("cuda"), time.perf_counter)
    result = on_a_gpu()
    late.push(1, 0, 1.0, result)
    torch.cuda.synchronize()
    torch.cuda._sleep(2_000_000_000)  # cycles: about a second
    late.push(2, 1, 1.0, result)
    assert [record.step for record in late.landed()] == [1]
    torch.cuda.synchronize()
    assert [record.step for record in late.landed()] == [2]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_no_push_waits() -> None:
    late = LateRecords(torch.device("cuda"), time.perf_counter)
    result = on_a_gpu()
    torch.cuda.set_sync_debug_mode("error")
    try:
        late.push(1, 0, 1.0, result)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert next(late.ready(drain=True)).loss == 1.0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_a_step_takes_the_device_s_time_and_not_that_of_queueing() -> None:
    late = LateRecords(torch.device("cuda"), time.perf_counter)
    result, work = on_a_gpu(), torch.randn(4096, 4096, device="cuda")
    finished_s = []
    for step in range(1, 13):
        for _ in range(20):
            work = torch.nn.functional.normalize(work @ work)
        late.push(step, step - 1, 1.0, result)
        finished_s += [record.finished_s for record in late.ready(drain=step % 4 == 0)]  # as an evaluation drains
    times_s = [after - before for before, after in itertools.pairwise(finished_s[3:])]  # warm by then
    assert min(times_s) > statistics.median(times_s) / 2
