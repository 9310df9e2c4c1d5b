"""The parts of a step's time are those between the loop's marks, on a CPU by its clock, on a GPU by the device's."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from pretrain import train as loop
from pretrain.heartbeat import Heartbeat, Phase
from pretrain.mesh import Mesh
from pretrain.metrics.lines import TIMES, read_metrics
from pretrain.metrics.page.ledger import WATCH as LOOKING
from pretrain.metrics.report import write_run_report
from pretrain.phases import DeviceTimes, HostTimes, read_marks
from pretrain.train import train
from pretrain.types import Status
from pretrain.watch.none import NoWatch


def test_each_phase_has_its_part_and_pauses_have_none() -> None:
    heart = Heartbeat()
    times = HostTimes(heart)
    for phase, seconds in (
        (Phase.LOADING, 0.02),
        (Phase.COUNTING, 0.03),
        *((Phase.FORWARD, 0.01), (Phase.BACKWARD, 0.01), (Phase.FORWARD, 0.01), (Phase.EXCHANGE, 0.03)),
        *((Phase.WATCHING, 0.02), (Phase.UPDATE, 0.04), (Phase.WATCHING, 0.04)),
        (Phase.SAVING, 0.05),
        (Phase.LOADING, 0.02),
    ):
        heart.at(phase)
        time.sleep(seconds)
    spent = times.cut()
    expected = {"data_s": 0.04, "counts_s": 0.03, "forward_backward_s": 0.06, "watch_s": 0.06, "optimizer_s": 0.04}
    assert spent.keys() == expected.keys()
    for part, seconds in expected.items():
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
        assert tuple(line["times"])[: len(TIMES)] == TIMES
        assert sum(line["times"][part] for part in TIMES) == pytest.approx(line["step_time_s"], abs=1e-4)
        assert (
            line["times"]["data_s"] >= 0.05 and line["times"]["forward_backward_s"] > line["times"]["optimizer_s"] > 0
        )
        assert time.time() - 60 < line["finished_s"] < time.time()


def test_a_run_that_is_not_looked_into_has_no_such_part(
    worker: ModuleType, overrides: list[str], tmp_path: Path
) -> None:
    run = worker.make_run(Mesh(0, 1, 0, torch.device("cpu")), [*overrides, "watch=none", "trainer.max_steps=3"])
    zero_grad = run.optimizer.zero_grad
    object.__setattr__(run.optimizer, "zero_grad", lambda: time.sleep(0.1) or zero_grad())
    run.log.start()
    assert train(run) is Status.FINISHED
    run.loader.close()
    run.log.close("finished")
    for line in read_metrics(tmp_path / "run/metrics.jsonl"):
        assert line["times"]["watch_s"] == 0.0 and line["times"]["optimizer_s"] >= 0.1
    assert LOOKING not in write_run_report(tmp_path / "run").read_text()


class SlowLook(NoWatch):
    """Takes its time before and after an update, and when it shows what it saw."""

    looks = True

    @contextlib.contextmanager
    def looking(self, step: int, *_: object) -> Iterator[None]:  # type: ignore[override]
        time.sleep(0.1)
        yield
        time.sleep(0.1)

    def ready(self, step: int, drain: bool = False) -> Iterator[tuple[str, dict[str, object]]]:
        time.sleep(0.1)
        return iter(())


def test_looking_into_a_step_and_the_sum_of_counts_are_neither_the_update_s_nor_the_data_s(
    worker: ModuleType, overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = worker.make_run(Mesh(0, 1, 0, torch.device("cpu")), [*overrides, "trainer.max_steps=4"])
    object.__setattr__(run, "watch", SlowLook())
    count = loop.counts_of
    monkeypatch.setattr(loop, "counts_of", lambda *given: time.sleep(0.1) or count(*given))
    run.log.start()
    assert train(run) is Status.FINISHED
    run.loader.close()
    run.log.close("finished")
    lines = list(read_metrics(tmp_path / "run/metrics.jsonl"))
    for name in ("optimizer_s", "data_s"):  # in one step of four at least: any may be held up by the machine
        assert min(line["times"][name] for line in lines) < 0.1
    for line in lines:
        assert tuple(line["times"])[: len(TIMES)] == TIMES
        assert sum(line["times"][part] for part in TIMES) == pytest.approx(line["step_time_s"], abs=1e-4)
        assert line["times"]["watch_s"] >= (0.2 if line["step"] == 1 else 0.3)
        assert line["times"]["counts_s"] >= 0.1
    assert LOOKING in write_run_report(tmp_path / "run").read_text()


class HostEvent:
    """What an event of a device tells, by the host's clock."""

    def __init__(self, enable_timing: bool) -> None:
        assert enable_timing

    def record(self) -> None:
        self.at_s = time.perf_counter()

    def elapsed_time(self, end: HostEvent) -> float:
        return 1000 * (end.at_s - self.at_s)


def test_the_events_of_a_step_part_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "Event", HostEvent)
    heart = Heartbeat()
    times = DeviceTimes(heart)
    heart.at(Phase.WATCHING)  # of the step before
    heart.at(Phase.LOADING)
    heart.at(Phase.LOADING)  # the first one was given up
    for phase, seconds in (
        *((Phase.COUNTING, 0.01), (Phase.FORWARD, 0.01), (Phase.BACKWARD, 0.01), (Phase.FORWARD, 0.01)),
        *((Phase.WATCHING, 0.02), (Phase.UPDATE, 0.03), (Phase.WATCHING, 0.01), (Phase.DEVICE, 0.05)),
    ):
        heart.at(phase)
        time.sleep(seconds)
    end = HostEvent(enable_timing=True)
    end.record()
    marks = times.cut()
    assert len(marks) == 7
    spent = read_marks(marks, end)  # type: ignore[arg-type]
    expected = {"data_s": 0.0, "counts_s": 0.01, "forward_backward_s": 0.03, "watch_s": 0.03, "optimizer_s": 0.03}
    assert spent.keys() == expected.keys()
    for part, seconds in expected.items():
        assert seconds <= spent[part] < seconds + 0.02
    heart.at(Phase.LOADING)
    heart.at(Phase.FORWARD)
    assert times.cut() == []


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
    heart.at(Phase.WATCHING)
    for _ in range(5):
        big = big @ big * 1e-4
    heart.at(Phase.UPDATE)
    queued_s = time.perf_counter() - queued
    marks, end = times.cut(), torch.cuda.Event(enable_timing=True)
    end.record()
    end.synchronize()
    took_s = time.perf_counter() - started
    assert [mark.part for mark in marks] == ["data_s", "forward_backward_s", "watch_s", "optimizer_s"]
    spent = read_marks(marks, end)
    assert 0.04 < spent["data_s"] < 0.08
    assert spent["forward_backward_s"] > 2 * queued_s and spent["optimizer_s"] < 0.01
    assert spent["watch_s"] == pytest.approx(spent["forward_backward_s"] / 4, rel=0.3)
    assert sum(spent.values()) <= took_s
    heart.at(Phase.LOADING)
    assert times.cut() == []  # a step that was given up
