"""A run that goes back: what it does again, what it passes over, and that a kill anywhere changes none of it."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

import pretrain.run as between
import pretrain.train as loop
from pretrain.mesh import Mesh
from pretrain.metrics.lines import read_metrics
from pretrain.resuming import tell_changes
from pretrain.run import Run, restore, state_of
from pretrain.train import train
from pretrain.types import Status
from tests.lines import TINY, loop_alone
from tests.pretrain.faults import BadData, Fault, finish, flip_a_bit

CPU = Mesh(rank=0, world_size=1, local_rank=0, device=torch.device("cpu"))
SETTINGS = ("skips=3", "within_steps=6", "before_steps=4", "after_steps=3", "lr_cut_steps=20", "memory_steps=40")
BAD = (20, 21, 22)  # the third of them, step 23, sends the run back, when it has done 25; step 10 is healthy by then
Make = Callable[..., Run]


def rewinding(overrides: list[str]) -> list[str]:
    """The line of a run that goes back, from that of a run of the loop alone."""
    changed = ("checkpoint=", "trainer.max_steps=")
    kept = [text for text in overrides if not text.startswith(changed)]
    saving = ["checkpoint=default", "checkpoint.every_steps=10", "checkpoint.healthy_after_steps=5"]
    saving += ["checkpoint.keep_last=3", "checkpoint.asynchronous=false"]
    return [*kept, *saving, "trainer.max_steps=40", "spike=rewind", *(f"spike.rewind.{text}" for text in SETTINGS)]


@pytest.fixture
def make(worker: ModuleType, overrides: list[str]) -> Make:
    def make_it(*more: str) -> Run:
        return worker.make_run(CPU, [*rewinding(overrides), *more])  # type: ignore[no-any-return]

    return make_it


@pytest.fixture(scope="module")
def whole(worker: ModuleType, data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """A run that met bad data, never killed, and its folder."""
    runs_dir = tmp_path_factory.mktemp("whole")
    run = worker.make_run(CPU, rewinding(loop_alone([*TINY, f"data.path={data_dir}"], runs_dir)))
    BadData(run, BAD)
    assert finish(run) is Status.FINISHED
    return run, runs_dir / "run"


def journal(folder: Path, dropped: bool = False) -> list[dict[str, Any]]:
    """The lines that the guard wrote."""
    path = folder / ("journal.dropped.jsonl" if dropped else "journal.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line for line in lines if line["event"] != "checkpoint_set_aside"]


def events(folder: Path) -> list[str]:
    return [line["event"] for line in journal(folder)]


def test_bad_data_is_done_again_and_then_passed_over(make: Make, tmp_path: Path) -> None:
    run = make()
    fault = BadData(run, BAD)
    assert finish(run) is Status.FINISHED
    folder = tmp_path / "run"
    assert events(folder) == ["replay", "replaying", "rewind", "rewound"]
    rewind = journal(folder)[2]
    assert (rewind["onset_step"], rewind["at_step"], rewind["to_step"], rewind["number"]) == (21, 23, 10, 2)
    assert (rewind["first_data_step"], rewind["end_data_step"]) == (16, 26)
    batch = run.plan.global_batch_size
    assert (rewind["first_sample"], rewind["last_sample"]) == (16 * batch, 26 * batch - 1)
    assert fault.taken == [*range(25), *range(10, 25), *range(10, 16), *range(26, 50)]
    lines = list(read_metrics(folder / "metrics.jsonl"))
    assert [line["step"] for line in lines] == list(range(1, 41))
    assert [line["data_step"] for line in lines] == [*range(16), *range(26, 50)]
    assert not any(line["skipped"] for line in lines)
    dropped = list(read_metrics(folder / "metrics.dropped.jsonl"))
    assert [line["step"] for line in dropped if line["skipped"]] == [21, 22, 23] * 2
    assert [line["step"] for line in journal(folder, dropped=True)] == [21, 22, 23] * 2
    assert not (folder / "replay.json").exists()
    saved = sorted(path.name for path in (folder / "checkpoints").iterdir())
    assert saved == ["step_00000020", "step_00000030", "step_00000040"]  # none of what was left fills the disk


def test_it_is_the_run_that_never_saw_those_batches(make: Make, whole: tuple[Run, Path], tmp_path: Path) -> None:
    """The same weights, bit for bit, as a run that was handed the journal and so passed them over at once."""
    run, folder = whole
    other = make(f"spike.skip_windows={folder / 'journal.jsonl'}")
    assert finish(other) is Status.FINISHED
    assert events(tmp_path / "run") == ["windows_taken"]
    assert_same_weights(run, other)


def test_what_the_checkpoint_has_learnt_is_not_passed_over(make: Make, tmp_path: Path) -> None:
    """The window begins before the oldest checkpoint there is: its first batches stay in the weights."""
    early = "spike.rewind.before_steps=15"
    run = make(early)
    fault = BadData(run, BAD)
    assert finish(run) is Status.FINISHED
    rewind = journal(tmp_path / "run")[2]
    assert (rewind["to_step"], rewind["first_data_step"], rewind["end_data_step"]) == (10, 10, 26)
    assert fault.taken == [*range(25), *range(10, 25), *range(26, 56)]
    other = make(early, "run_name=other", f"spike.skip_windows={tmp_path / 'run' / 'journal.jsonl'}")
    assert finish(other) is Status.FINISHED
    assert_same_weights(run, other)


def assert_same_weights(one: Run, other: Run) -> None:
    theirs = state_of(other).tensors
    for name, tensor in state_of(one).tensors.items():
        if not name.startswith("guard."):
            assert torch.equal(tensor, theirs[name]), name


def test_a_fault_that_does_not_come_again_is_the_machines(make: Make, tmp_path: Path) -> None:
    run = make()
    fault = BadData(run, BAD, times=3)
    assert finish(run) is Status.FINISHED
    folder = tmp_path / "run"
    assert events(folder) == ["replay", "replaying", "compute_fault"]
    told = journal(folder)[2]
    assert told["at_step"] == 21 and told["loss_before"] == "NaN" and isinstance(told["loss"], float)
    assert fault.taken == [*range(25), *range(10, 40)]  # two were under way when the host learnt of it
    clean = make("run_name=clean")
    finish(clean)
    assert_same_weights(run, clean)


def test_a_flipped_bit_is_found_where_it_was(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "forward_backward", loop.forward_backward)  # put back afterwards
    run = make()
    BadData(run, BAD)
    flip_a_bit(run, at_data_step=14)
    assert finish(run) is Status.FINISHED
    told = [line for line in journal(tmp_path / "run") if line["event"] == "compute_fault"]
    assert [line["at_step"] for line in told] == [15]


def test_without_replay_it_goes_back_once(make: Make, tmp_path: Path) -> None:
    run = make("spike.rewind.replay=false")
    BadData(run, BAD)
    assert finish(run) is Status.FINISHED
    assert events(tmp_path / "run") == ["rewind", "rewound"]


def test_each_time_learns_more_slowly_and_one_too_many_stops(make: Make, tmp_path: Path) -> None:
    run = make("spike.rewind.replay=false", "spike.rewind.lr_factors=[1.0,0.5]", "spike.rewind.after_steps=0")
    BadData(run, range(20, 60))
    assert finish(run) is Status.STOPPED
    folder = tmp_path / "run"
    rewinds = [line for line in journal(folder) if line["event"] == "rewind"]
    assert [line["lr_factor"] for line in rewinds] == [1.0, 0.5]
    told = run.guard.diagnosis()
    assert "has gone back 2 times within 40 steps" in told and "Go back further and learn more slowly" in told
    assert "none of these steps touched the weights" not in told  # which is said of skips
    lines = {line["step"]: line for line in read_metrics(folder / "metrics.jsonl")}
    schedule = run.optimizer.lr * run.schedule.factor(10)
    assert lines[11]["lr"] == pytest.approx(0.5 * schedule, rel=1e-6)
    assert lines[12]["lr"] > 0.5 * run.optimizer.lr * run.schedule.factor(11)


def test_without_a_healthy_checkpoint_it_stays_and_the_budget_decides(make: Make, tmp_path: Path) -> None:
    run = make("spike.max_skips_in_row=4")
    BadData(run, range(3, 40))
    assert finish(run) is Status.STOPPED
    assert events(tmp_path / "run")[:4] == ["skip", "skip", "skip", "no_way_back"]
    assert run.progress.step < 12


def test_a_loss_that_rises_for_long_sends_the_run_back(make: Make, tmp_path: Path) -> None:
    run = make("spike.rewind.rise_steps=8", "spike.rewind.rise_nats=0.05", "trainer.max_steps=60", "optim.lr=1e-5")

    class Drift(Fault):
        everywhere = True

        def change(self, data_step: int, output: Tensor) -> Tensor | None:
            return output * (1 + 0.4 * (data_step - 20)) if 20 <= data_step < 45 else None

    Drift(run)
    assert finish(run) is Status.FINISHED
    rewind = next(line for line in journal(tmp_path / "run") if line["event"] == "rewind")
    assert rewind["reason"].startswith("the median of the last 8 losses")
    assert 16 <= rewind["onset_step"] <= 30 and rewind["to_step"] in (10, 20)


KILLS = ("leave", "restore", "arrive", "again", "between", "after")


@pytest.mark.parametrize("where", KILLS)
def test_a_kill_around_it_changes_nothing(
    make: Make, whole: tuple[Run, Path], tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:

    class Killed(Exception):
        pass

    def kill(*_: Any, **__: Any) -> Any:
        raise Killed

    places: dict[str, tuple[Any, str, int]] = {
        "leave": (between, "restore", 1),  # decided, nothing done
        "restore": (between, "restore", 2),
        "arrive": (between.Run, "", 0),
        "again": (loop, "forward_backward", 25 + 3),
        "between": (loop, "forward_backward", 25 + 11),
        "after": (loop, "forward_backward", 25 + 15 + 5),
    }
    run = make()
    BadData(run, BAD)
    holder, name, call = places[where]
    if where == "arrive":
        monkeypatch.setattr(type(run.guard), "arrive", kill)
    else:
        real, calls = getattr(holder, name), itertools.count(1)
        monkeypatch.setattr(holder, name, lambda *given: kill() if next(calls) == call else real(*given))
    with pytest.raises(Killed):
        train(run)
    run.loader.close()
    monkeypatch.undo()
    again = make()
    BadData(again, BAD)
    assert restore(again)
    assert finish(again) is Status.FINISHED
    never_killed, folder = whole
    assert_same_weights(never_killed, again)
    assert journal(tmp_path / "run") == journal(folder)
    kept = ("step", "data_step", "loss", "lr")
    ours, theirs = (
        [[line[key] for key in kept] for line in read_metrics(where / "metrics.jsonl")]
        for where in (tmp_path / "run", folder)
    )
    assert ours == theirs


def test_steps_done_again_with_other_settings_are_not_held_against_the_machine(make: Make, tmp_path: Path) -> None:
    same_rate = ("schedule=constant", "schedule.warmup_steps=2")
    finish(make("trainer.max_steps=18", *same_rate))
    run = make("model.dropout=0.1", *same_rate, "allow_change=[model.dropout,trainer.max_steps]")
    assert restore(run)
    tell_changes(run, tmp_path / "run")
    BadData(run, BAD)
    assert finish(run) is Status.FINISHED
    assert events(tmp_path / "run") == ["replay", "replaying", "rewind", "rewound"]  # no compute_fault
    assert [line["to_step"] for line in journal(tmp_path / "run") if line["event"] == "rewind"] == [10]


def killed_amid(run: Run, holder: Any, name: str, call: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train up to a call of a function, which dies."""
    real, calls = getattr(holder, name), itertools.count(1)

    def dies(*given: Any) -> Any:
        if next(calls) == call:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(holder, name, dies)
    with pytest.raises(KeyboardInterrupt):
        train(run)
    run.loader.close()
    monkeypatch.undo()


def test_settings_changed_amid_a_replay_are_not_held_against_the_machine(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make()
    BadData(run, BAD)
    killed_amid(run, loop, "forward_backward", 25 + 3, monkeypatch)
    again = make("model.dropout=0.1", "allow_change=[model.dropout]")
    assert restore(again)
    tell_changes(again, tmp_path / "run")
    BadData(again, BAD)
    assert finish(again) is Status.FINISHED
    assert events(tmp_path / "run") == ["replay", "replaying", "change", "rewind", "rewound"]


def test_a_way_back_that_is_gone_when_the_run_starts_again_is_said(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make()
    BadData(run, BAD)
    killed_amid(run, between, "restore", 1, monkeypatch)
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    again = make()
    assert not restore(again)
    assert finish(again) is Status.FINISHED
    assert events(tmp_path / "run") == ["replay", "no_way_back"]
