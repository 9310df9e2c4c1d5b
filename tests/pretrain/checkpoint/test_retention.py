"""What stays on disk."""

from __future__ import annotations

import random
import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from pretrain.checkpoint.checkpointer import DcpCheckpoint
from pretrain.checkpoint.errors import SaveFailed
from pretrain.checkpoint.integrity import step_folders, verify
from pretrain.checkpoint.labels import Label, read_label
from pretrain.checkpoint.reading import open_checkpoint
from pretrain.checkpoint.retention import prune
from pretrain.mesh import Mesh
from pretrain.plan import Plan
from pretrain.types import TrainState


def test_damaged_ones_do_not_count_as_healthy(
    checkpointer: DcpCheckpoint, make_state: Callable[..., TrainState], run_dir: Path
) -> None:
    folder = run_dir / "checkpoints"
    for step in (10, 20, 30):
        checkpointer.save(step, make_state(step))
    (folder / "step_00000030" / "facts.json").write_bytes(b"")
    prune(folder, keep_last=1)
    assert [path.name for path in step_folders(folder)] == ["step_00000030", "step_00000020", "step_00000010"]


def test_a_save_that_fails_has_removed_nothing(
    checkpointer: DcpCheckpoint, make_state: Callable[..., TrainState], run_dir: Path
) -> None:
    for step in (10, 20, 30):
        checkpointer.save(step, make_state(step))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(SaveFailed, match="earlier checkpoints are as they were"):
            checkpointer.save(40, make_state(40))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    found = step_folders(run_dir / "checkpoints")
    assert [path.name for path in found] == ["step_00000030", "step_00000020", "step_00000010"]


def test_what_cannot_be_removed_is_said_and_the_rest_stays_whole(
    checkpointer: DcpCheckpoint, make_state: Callable[..., TrainState], run_dir: Path, capfd: Any
) -> None:
    folder = run_dir / "checkpoints"
    for step in (10, 20, 30):
        checkpointer.save(step, make_state(step))
    (folder / ".step_00000010.removed").write_bytes(b"a file in the way")
    prune(folder, keep_last=1)
    assert "can't be removed" in capfd.readouterr().err
    assert all(verify(path) == [] for path in step_folders(folder)) and len(step_folders(folder)) == 3


def test_a_note_after_a_line_that_a_crash_cut_short_is_a_line_of_its_own(
    checkpointer: DcpCheckpoint, make_state: Callable[..., TrainState], run_dir: Path
) -> None:
    for step in (10, 20):
        checkpointer.save(step, make_state(step))
    (run_dir / "checkpoints" / "step_00000020" / "facts.json").write_bytes(b"")
    (run_dir / "journal.jsonl").write_bytes(b'{"event":"skip","step":1}\n{"event":"sk')
    assert checkpointer.load(make_state(99))
    lines = (run_dir / "journal.jsonl").read_bytes().splitlines()
    assert lines[1] == b'{"event":"sk' and orjson.loads(lines[2])["checkpoint"] == "step_00000020"


def steps(folder: Path) -> list[int]:
    return [int(path.name[5:]) for path in reversed(step_folders(folder))]


def test_multiples_stay_for_ever(mesh: Mesh, plan: Plan, run_dir: Path, make_state: Callable[..., TrainState]) -> None:
    checkpointer = DcpCheckpoint(10, 1, mesh, plan, run_dir, keep_every_steps=30, asynchronous=False)
    for step in range(10, 101, 10):
        checkpointer.save(step, make_state(step))
    assert steps(run_dir / "checkpoints") == [30, 60, 90, 100]


def test_the_one_that_ended_a_run_stays_though_the_run_is_made_longer(
    mesh: Mesh, plan: Plan, run_dir: Path, make_state: Callable[..., TrainState]
) -> None:
    short = DcpCheckpoint(10, 1, mesh, replace(plan, max_steps=20), run_dir, asynchronous=False)
    for step in (10, 20):
        short.save(step, make_state(step))
    longer = DcpCheckpoint(10, 1, mesh, plan, run_dir, asynchronous=False)
    assert longer.load(make_state(99))
    for step in (30, 40, 50):
        longer.save(step, make_state(step))
    assert steps(run_dir / "checkpoints") == [20, 40, 50]
    final = open_checkpoint(run_dir / "checkpoints" / "step_00000020")
    assert final.manifest.final and final.facts["environment"]["code"]
    assert not open_checkpoint(run_dir / "checkpoints" / "step_00000040").manifest.final


def test_pending_and_bad_ones_never_push_out_the_last_two_healthy_ones(
    mesh: Mesh, plan: Plan, run_dir: Path, make_state: Callable[..., TrainState]
) -> None:
    checkpointer = DcpCheckpoint(10, 1, mesh, plan, run_dir, healthy_after_steps=10, asynchronous=False)
    for step in (10, 20, 30):
        checkpointer.save(step, make_state(step))
        checkpointer.poll(step)  # as many updates: makes the one before healthy
    assert steps(run_dir / "checkpoints") == [10, 20, 30]
    for step in (40, 50):  # no step is accepted any more
        checkpointer.save(step, make_state(step, num_updates=30))
        checkpointer.poll(30)
    assert steps(run_dir / "checkpoints") == [10, 20, 40, 50]
    checkpointer.reject(30, "a stop")
    checkpointer.save(60, make_state(60, num_updates=30))
    assert steps(run_dir / "checkpoints") == [10, 20, 60]


@pytest.mark.parametrize("seed", range(3))
def test_never_fewer_than_two_that_can_be_resumed_from(
    mesh: Mesh, plan: Plan, run_dir: Path, make_state: Callable[..., TrainState], seed: int
) -> None:
    generator = random.Random(seed)
    checkpointer = DcpCheckpoint(10, 1, mesh, plan, run_dir, healthy_after_steps=10, asynchronous=False)
    sound, healthy, num_updates = set[int](), set[int](), 0
    for step in range(10, 101, 10):
        state = make_state(step, num_updates=num_updates)
        if is_sick := generator.random() < 0.3:
            state.tensors["model.weight"][0] = float("nan")
        checkpointer.save(step, state)
        sound |= set() if is_sick else {step}
        kept = set(steps(run_dir / "checkpoints"))
        assert set(sorted(sound)[-2:]) <= kept and set(sorted(healthy)[-2:]) <= kept
        if generator.random() < 0.7:
            num_updates += 10
            checkpointer.poll(num_updates)
        labelled = {
            step for step in kept if read_label(run_dir / f"checkpoints/step_{step:08d}").label is Label.HEALTHY
        }
        healthy |= labelled & sound
