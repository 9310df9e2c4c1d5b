"""Results reach the host at a fixed lag, in order, each once."""

from __future__ import annotations

import itertools
import statistics
import time

import pytest
import torch

from pretrain.late import LAG_STEPS, LateRecords
from pretrain.types import StepResult

TARGETS = 61 << 20  # tokens of a large batch: no float32 holds the odd counts above 2^24


def result(step: int) -> StepResult:
    loss, grad_norm = torch.tensor(step / 10), torch.tensor(float(step * 2))
    num_targets, stop = torch.tensor(TARGETS + step), torch.tensor(int(step == 5))
    return StepResult(
        loss, grad_norm, torch.tensor([float(step == 3), step + 0.5, -step]), num_targets, stop, loss[None], loss[None]
    )


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
    assert records[1].loss == pytest.approx(0.2)
    assert (records[1].data_step, records[1].lr, records[1].finished_s) == (1, 2e-3, 2.0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_no_push_waits() -> None:
    late = LateRecords(torch.device("cuda"), time.perf_counter)
    ones = torch.ones((), device="cuda")
    count = torch.ones((), dtype=torch.int64, device="cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        late.push(1, 0, 1.0, StepResult(ones, ones, ones[None], count, count, ones[None], ones[None]))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert next(late.ready(drain=True)).loss == 1.0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_a_step_takes_the_device_s_time_and_not_that_of_queueing() -> None:
    late = LateRecords(torch.device("cuda"), time.perf_counter)
    ones, work = torch.ones((), device="cuda"), torch.randn(4096, 4096, device="cuda")
    count = torch.ones((), dtype=torch.int64, device="cuda")
    finished_s = []
    for step in range(1, 13):
        for _ in range(20):
            work = torch.nn.functional.normalize(work @ work)
        late.push(step, step - 1, 1.0, StepResult(ones, ones, ones[None], count, count, ones[None], ones[None]))
        finished_s += [record.finished_s for record in late.ready(drain=step % 4 == 0)]  # as an evaluation drains
    times_s = [after - before for before, after in itertools.pairwise(finished_s[3:])]  # warm by then
    assert min(times_s) > statistics.median(times_s) / 2
