"""The parts of a step's time are those between the loop's marks, on a CPU by its clock, on a GPU by the device's."""

from __future__ import annotations

import time
from pathlib import Path
from types import ModuleType

import pytest
import torch

from pretrain.heartbeat import Heartbeat, Phase
from pretrain.mesh import Mesh
from pretrain.metrics.lines import TIMES, read_metrics
from pretrain.phases import DeviceTimes, HostTimes, Marks, read_marks
from pretrain.train import train
from pretrain.types import Status


def test_each_phase_has_its_part_and_pauses_have_none() -> None:
    heart = Heartbeat()
    times = HostTimes(heart)
    for phase, seconds in (
        (Phase.LOADING, 0.02),
        *((Phase.FORWARD, 0.01), (Phase.BACKWARD, 0.01), (Phase.FORWARD, 0.01), (Phase.EXCHANGE, 0.03)),
        (Phase.UPDATE, 0.04),
        (Phase.SAVING, 0.05),
        (Phase.LOADING, 0.02),
    ):
        heart.at(phase)
        time.sleep(seconds)
    spent = times.cut()
    for part, seconds in (("data_s", 0.04), ("forward_backward_s", 0.06), ("optimizer_s", 0.04)):
        assert seconds <= spent[part] < seconds + 0.05
    assert max(times.cut().values()) < 0.02


def test_the_parts_of_a_run_s_steps_sum_to_their_time(worker: ModuleType, overrides: list[str], tmp_path: Path) -> None:
    run = worker.make_run(Mesh(0, 1, 0, torch.device("cpu")), overrides)
    load = run.loader.micro_batches
    object.__setattr__(run.loader, "micro_batches", lambda step: time.sleep(0.05) or load(step))
    run.log.start()
    assert train(run) is Status.FINISHED
    run.loader.close()
    run.log.close("finished")
    for line in read_metrics(tmp_path / "run/metrics.jsonl"):
        assert tuple(line["times"]) == TIMES
        assert sum(line["times"].values()) == pytest.approx(line["step_time_s"], abs=1e-4)
        assert (
            line["times"]["data_s"] >= 0.05 and line["times"]["forward_backward_s"] > line["times"]["optimizer_s"] > 0
        )
        assert time.time() - 60 < line["finished_s"] < time.time()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_s_times_are_the_device_s_not_those_of_the_queue() -> None:
    heart = Heartbeat()
    times = DeviceTimes(heart)
    big = torch.randn(8192, 8192, device="cuda")
    (big @ big).sum().item()
    started = time.perf_counter()
    heart.at(Phase.LOADING)
    time.sleep(0.05)  # the device has nothing to do meanwhile
    heart.at(Phase.FORWARD)
    queued = time.perf_counter()
    for _ in range(20):
        big = big @ big * 1e-4
        heart.at(Phase.FORWARD)
    heart.at(Phase.UPDATE)
    queued_s = time.perf_counter() - queued
    marks, end = times.cut(), torch.cuda.Event(enable_timing=True)
    end.record()
    end.synchronize()
    took_s = time.perf_counter() - started
    assert isinstance(marks, Marks)
    spent = read_marks(marks, end)
    assert 0.04 < spent["data_s"] < 0.08
    assert spent["forward_backward_s"] > 2 * queued_s and spent["optimizer_s"] < 0.01
    assert sum(spent.values()) <= took_s
    heart.at(Phase.LOADING)
    assert times.cut() == {}  # a step that was given up
