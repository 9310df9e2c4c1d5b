"""A stop amid a step, a step's sum or an evaluation: what is given up, what is kept, and what is said."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from pretrain.checkpoint.integrity import step_folders
from pretrain.checkpoint.state import random_states
from pretrain.describe import reason_of
from pretrain.evaluate.evaluator import NoEval
from pretrain.late import LAG_STEPS
from pretrain.mesh import Mesh
from pretrain.metrics.lines import read_metrics
from pretrain.run import Run, restore
from pretrain.seats import nothing
from pretrain.train import train
from pretrain.types import Record, Status

CPU = Mesh(0, 1, 0, torch.device("cpu"))


class StopAmid:
    """Asks the run to stop in the forward pass of one micro batch of one step, as a signal would."""

    def __init__(self, run: Run, step: int, micro_batch: int) -> None:
        self.run, self.at, self.calls = run, (step, micro_batch), 0
        run.model.final_norm.register_forward_hook(self)

    def __call__(self, *_: object) -> None:
        self.run.signal.requested |= divmod(self.calls, self.run.plan.grad_accum_steps) == self.at
        self.calls += 1


@pytest.mark.parametrize("step", [0, 5])
def test_a_stop_amid_a_step_gives_it_up_and_nothing_else(
    worker: ModuleType, overrides: list[str], tmp_path: Path, step: int
) -> None:
    line = [*overrides, "checkpoint=default", "model.dropout=0.2", "trainer.micro_batch_size=2"]
    straight = worker.make_run(CPU, [*line, "run_name=straight"])
    assert train(straight) is Status.FINISHED
    stopped = worker.make_run(CPU, line)
    StopAmid(stopped, step, micro_batch=1)
    assert train(stopped) is Status.PREEMPTED
    assert (stopped.progress.step, stopped.progress.data_step) == (step, step)
    torch.manual_seed(99)
    again = worker.make_run(CPU, line)
    assert restore(again)
    assert again.progress.step == step
    assert train(again) is Status.FINISHED
    for run in (straight, stopped, again):
        run.loader.close()
        run.log.close("finished")
    expected, found = worker.snapshot(straight), worker.snapshot(again)
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
    assert {kind.partition(".")[0] for kind in found} == {"model", "optim", "guard"}
    losses = [
        [line["loss"] for line in read_metrics(tmp_path / name / "metrics.jsonl")] for name in ("straight", "run")
    ]
    assert losses[0] == losses[1]


def test_on_several_gpus_the_step_s_own_sum_carries_a_wish_to_stop(
    worker: ModuleType, overrides: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pretrain.train.may_give_up", lambda mesh: False)  # there no rank asks the others' hosts
    run = worker.make_run(CPU, [*overrides, "checkpoint=default"])
    StopAmid(run, step=2, micro_batch=1)  # heard of by the sum of step 3, read when two more are done
    assert train(run) is Status.PREEMPTED
    run.loader.close()
    assert run.progress.step == 3 + 1 + LAG_STEPS
    assert (run.progress.data_step, run.progress.num_updates) == (6, 6)
    again = worker.make_run(CPU, [*overrides, "checkpoint=default"])
    assert restore(again)
    assert again.progress == run.progress
    again.loader.close()


def test_a_stop_that_is_asked_for_does_not_hide_the_guard_s(
    worker: ModuleType, overrides: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pretrain.train.may_give_up", lambda mesh: False)
    run = worker.make_run(CPU, [*overrides, "spike.max_skips_in_row=1"])
    for step in (3, 4):
        worker.Poison(run, step)
    StopAmid(run, step=5, micro_batch=0)  # heard of by the sum of the step after, decided after the guard's verdict
    assert train(run) is Status.STOPPED
    run.loader.close()
    assert run.progress.step == 5 + LAG_STEPS


class StoppedEval(NoEval):
    """On the evaluator's seat: of step 4, in two parts; the run is asked to stop amid the first of them."""

    def __init__(self, run: Run) -> None:
        self.run, self.parts = run, list[int]()

    def due(self, step: int) -> bool:
        return step == 4

    def evaluate(self, step: int, between: Callable[[], None] = nothing) -> dict[str, Any]:
        for part in range(2):
            between()
            self.parts.append(part)
            self.run.signal.requested = True
        return {"val_loss": 1.0}


@pytest.mark.parametrize("asked_before", [True, False])
def test_a_stop_gives_an_evaluation_up_and_the_run_that_goes_on_repeats_it(
    worker: ModuleType, overrides: list[str], tmp_path: Path, asked_before: bool
) -> None:
    line = [*overrides, "checkpoint=default"]
    run = worker.make_run(CPU, line)
    stopped = StoppedEval(run)
    object.__setattr__(run, "evaluator", stopped)
    if asked_before:
        StopAmid(run, step=3, micro_batch=run.plan.grad_accum_steps - 1)
    assert train(run) is Status.PREEMPTED
    run.loader.close()
    run.log.close("preempted")
    assert stopped.parts == ([] if asked_before else [0])
    assert [folder.name for folder in step_folders(tmp_path / "run/checkpoints")] == ["step_00000004"]
    for parts in ([0], [0, 1]):  # stopped again, then not
        again = worker.make_run(CPU, line)
        repeated = StoppedEval(again if len(parts) == 1 else stopped.run)
        object.__setattr__(again, "evaluator", repeated)
        stopped.run.signal.requested = False
        assert restore(again)
        assert repeated.parts == parts
        assert train(again) is (Status.PREEMPTED if len(parts) == 1 else Status.FINISHED)
        again.loader.close()
        again.log.close("")
    lines = list(read_metrics(tmp_path / "run/metrics.jsonl"))
    assert [line["step"] for line in lines] == list(range(1, 9))
    assert [line["step"] for line in lines if "val_loss" in line] == [4]


def test_without_checkpoints_a_stop_amid_an_evaluation_keeps_the_line_and_says_that_nothing_is_saved(
    worker: ModuleType, overrides: list[str], tmp_path: Path
) -> None:
    run = worker.make_run(CPU, [*overrides, "checkpoint=none"])
    object.__setattr__(run, "evaluator", StoppedEval(run))
    status = train(run)
    run.loader.close()
    run.log.close("preempted")
    assert [line["step"] for line in read_metrics(tmp_path / "run/metrics.jsonl")] == [1, 2, 3, 4]
    assert reason_of(status, run) == (
        "stopped by a signal; checkpoint=none: nothing is saved, the same line begins anew"
    )


class DrawingEval(NoEval):
    """On the evaluator's seat: draws from the global generators, as a user's that samples documents may."""

    def __init__(self) -> None:
        self.drawn: list[tuple[float, float]] = []

    def due(self, step: int) -> bool:
        return step == 4

    def evaluate(self, step: int, between: Callable[[], None] = nothing) -> dict[str, Any]:
        self.drawn.append((random.random(), float(torch.rand(()))))
        return {"val_loss": 1.0}


def test_an_evaluation_that_draws_leaves_the_generators_as_the_checkpoint_before_it_has_them(
    worker: ModuleType, overrides: list[str], tmp_path: Path
) -> None:
    line = [*overrides, "checkpoint=default", "checkpoint.every_steps=4"]
    run, evaluator = worker.make_run(CPU, line), DrawingEval()
    object.__setattr__(run, "evaluator", evaluator)
    assert train(run) is Status.FINISHED
    run.loader.close()
    run.log.close("finished")
    expected = random_states(CPU.device)
    again = worker.make_run(CPU, line)  # killed after the evaluation: its line is written and isn't made again
    object.__setattr__(again, "evaluator", evaluator)
    assert restore(again, str(tmp_path / "run/checkpoints/step_00000004"))
    assert train(again) is Status.FINISHED
    again.loader.close()
    again.log.close("finished")
    assert len(evaluator.drawn) == 1
    assert random_states(CPU.device) == expected


def fail_in(run: Run, step: int) -> None:
    """Have the forward pass of a step fail, from 1."""

    def fail(*_: object) -> None:
        if run.progress.step == step - 1:
            raise ZeroDivisionError("in the forward pass")

    run.model.final_norm.register_forward_hook(fail)


def logged_steps(tmp_path: Path) -> list[int]:
    return [line["step"] for line in read_metrics(tmp_path / "run/metrics.jsonl")]


def test_a_run_that_fails_has_the_lines_of_all_steps_before(
    worker: ModuleType, overrides: list[str], tmp_path: Path
) -> None:
    run = worker.make_run(CPU, overrides)
    fail_in(run, 7)
    with pytest.raises(ZeroDivisionError):
        train(run)
    assert (run.progress.step, run.progress.num_updates, run.mesh.heartbeat.step_under_way) == (6, 6, 7)
    run.loader.close()
    run.log.close("failed")
    assert logged_steps(tmp_path) == [1, 2, 3, 4, 5, 6]


def test_a_broken_device_hides_no_error(
    worker: ModuleType, overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr("pretrain.train.LateRecords.landed", broken)
    run = worker.make_run(CPU, overrides)
    fail_in(run, 7)
    with pytest.raises(ZeroDivisionError, match=r"^in the forward pass$"):
        train(run)
    run.loader.close()
    run.log.close("failed")
    assert logged_steps(tmp_path) == [1, 2, 3, 4]


def test_a_line_that_could_not_be_written_leaves_no_hole(
    worker: ModuleType, overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = worker.make_run(CPU, overrides)
    add = run.log.add

    def full(record: Record, *counts: int) -> None:
        if record.step == 3:
            raise OSError("No space left on device")
        add(record, *counts)

    monkeypatch.setattr(run.log, "add", full)
    with pytest.raises(OSError, match="No space left"):
        train(run)
    run.loader.close()
    run.log.close("failed")
    assert logged_steps(tmp_path) == [1, 2]


@pytest.mark.parametrize("spike", ["none", "skip"])
def test_a_run_whose_last_losses_are_not_finite_says_so_at_its_end(
    worker: ModuleType, overrides: list[str], spike: str
) -> None:
    line = [text for text in overrides if not text.startswith("spike")]
    run = worker.make_run(CPU, [*line, f"spike={spike}", "trainer.max_steps=5"])
    worker.Poison(run, 2)
    assert train(run) is Status.FINISHED
    run.loader.close()
    told = reason_of(Status.FINISHED, run)
    if spike == "none":
        assert "; warning: the loss has been NaN or infinite since step 3, and so are the weights" in told
        assert "spike=skip" in told
    else:
        assert told.startswith("all steps of the plan are done; one of them was skipped") and "warning" not in told
