"""The seat: when it saves, what comes back, what is kept, what happens when a checkpoint or the disk is bad."""

from __future__ import annotations

import contextlib
import math
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import torch

from foundation.errors import ConfigError, SettingError
from foundation.files import pretty_json
from foundation.hashes import hash_json
from pretrain.checkpoint.checkpointer import DcpCheckpoint, NoCheckpoint
from pretrain.checkpoint.environment import environment
from pretrain.checkpoint.errors import (
    CheckpointError,
    CheckpointMismatch,
    DamagedCheckpoint,
    NotTensorsOnly,
    ResumeRefused,
    UnhealthyCheckpoint,
)
from pretrain.checkpoint.integrity import verify
from pretrain.checkpoint.reading import newest_checkpoint, open_checkpoint, verify_share
from pretrain.mesh import Mesh
from pretrain.plan import Plan
from pretrain.types import TrainState

MakeState = Callable[..., TrainState]
Journal = Callable[[], list[dict[str, Any]]]
FILES = ["facts.json", "manifest.json", "metadata.json", "rank_00000.bin", "rank_00000.json", "rank_00000.sum"]


def names(run_dir: Path) -> list[str]:
    return sorted(path.name for path in (run_dir / "checkpoints").iterdir())


def flip(path: Path, position: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 16
    path.write_bytes(data)


def draw() -> list[float]:
    return [random.random(), float(np.random.rand()), torch.rand(()).item()]  # noqa: NPY002


def test_due_every_so_many_steps_and_at_the_end(checkpointer: DcpCheckpoint) -> None:
    assert [step for step in range(106) if checkpointer.due(step)] == [*range(10, 101, 10), 105]


def test_a_saved_state_comes_back_with_facts_and_random_states(
    checkpointer: DcpCheckpoint, make_state: MakeState, same_tensors: Callable[..., bool], mesh: Mesh
) -> None:
    facts = {"loss": math.inf, "guard": {"skips": 1}, "line": {}, "gate": {"seed": 1}, "step": 10}
    state = TrainState(make_state(10).tensors, facts)
    checkpointer.save(10, state)
    assert state.facts == facts  # what was given is as it was
    expected = draw()
    live = make_state(99, guard={"skips": 0})
    assert checkpointer.load(live) is True
    assert draw() == expected
    assert same_tensors(live.tensors, make_state(10).tensors)
    assert live.facts.pop("environment") == environment(mesh)
    assert live.facts == facts


def test_what_was_saved_and_what_is_resumed_from_are_said(
    checkpointer: DcpCheckpoint, make_state: MakeState, run_dir: Path, capfd: Any
) -> None:
    checkpointer.save(10, make_state(10))
    said = capfd.readouterr().err
    folder = run_dir / "checkpoints" / "step_00000010"
    held_bytes = sum(tensor.nbytes for tensor in make_state(10).tensors.values())
    assert said.startswith(f"checkpoint: {folder}: {held_bytes / 1e3:.1f} kB saved in ") and said.endswith(" s\n")
    checkpointer.load(make_state(99))
    assert capfd.readouterr().err == f"checkpoint: going on from {folder}\n"
    checkpointer.load(make_state(99), str(folder))
    assert capfd.readouterr().err == f"checkpoint: going on from {folder}\n"


def test_a_damaged_one_that_was_named_is_answered_with_what_to_do(
    checkpointer: DcpCheckpoint, make_state: MakeState, saved: Path
) -> None:
    flip(saved / "rank_00000.bin")
    with pytest.raises(
        DamagedCheckpoint, match=r"bytes \d+ to .*; name another checkpoint, or take the newest healthy"
    ):
        checkpointer.load(make_state(99), str(saved))


def test_without_any_checkpoint_nothing_is_loaded(checkpointer: DcpCheckpoint, make_state: MakeState) -> None:
    live = make_state(99)
    assert checkpointer.load(live) is False and live.facts["step"] == 99


def test_the_newest_is_loaded_and_saving_twice_at_a_step_is_saving_once(
    checkpointer: DcpCheckpoint, make_state: MakeState, run_dir: Path
) -> None:
    checkpointer.save(10, make_state(10))
    checkpointer.save(20, make_state(20))
    before = (run_dir / "checkpoints" / "step_00000020").stat().st_ino
    checkpointer.save(20, make_state(21))  # a signal at a step that was due
    assert (run_dir / "checkpoints" / "step_00000020").stat().st_ino == before
    live = make_state(99)
    assert checkpointer.load(live) and live.facts["step"] == 20


def test_the_last_ones_are_kept(mesh: Mesh, plan: Plan, run_dir: Path, make_state: MakeState) -> None:
    one = DcpCheckpoint(10, keep_last=1, mesh=mesh, plan=plan, run_dir=run_dir, asynchronous=False)
    for step in (10, 20, 30):
        one.save(step, make_state(step))
    assert names(run_dir) == ["step_00000020", "step_00000030"]  # two healthy ones in any case
    three = DcpCheckpoint(10, keep_last=3, mesh=mesh, plan=plan, run_dir=run_dir, asynchronous=False)
    for step in (40, 50):
        three.save(step, make_state(step))
    assert names(run_dir) == ["step_00000030", "step_00000040", "step_00000050"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["model.weight", "model.half", "optim.weight.step"])
def test_unhealthy_ones_never_push_out_the_last_two_healthy_ones(
    checkpointer: DcpCheckpoint, make_state: MakeState, run_dir: Path, capfd: Any, name: str, value: float
) -> None:
    for step in (10, 20, 30):
        checkpointer.save(step, make_state(step))
    for step in (40, 50, 60, 70):
        state = make_state(step)
        state.tensors[name].view(-1)[-1] = value
        checkpointer.save(step, state)
    assert names(run_dir) == [f"step_{step:08d}" for step in (20, 30, 50, 60, 70)]
    assert f"NaN or infinity was saved in {name}; it is kept" in capfd.readouterr().err
    with pytest.raises(UnhealthyCheckpoint, match=name):
        checkpointer.load(make_state(99), str(run_dir / "checkpoints" / "step_00000070"))
    live = make_state(99)
    assert checkpointer.load(live) and live.facts["step"] == 30


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("harm", ["flip", "cut", "missing"])
def test_the_last_healthy_one_is_used_when_the_newest_is_damaged(
    checkpointer: DcpCheckpoint,
    make_state: MakeState,
    run_dir: Path,
    journal: Journal,
    capfd: Any,
    same_tensors: Callable[..., bool],
    name: str,
    harm: str,
) -> None:
    for step in (10, 20, 30):
        checkpointer.save(step, make_state(step))
    for step in (20, 30):
        path = run_dir / "checkpoints" / f"step_{step:08d}" / name
        if harm == "flip":
            flip(path)
        elif harm == "cut":
            path.write_bytes(path.read_bytes()[:-1])
        else:
            path.unlink()
    live = make_state(99)
    assert checkpointer.load(live) and live.facts["step"] == 10
    assert same_tensors(live.tensors, make_state(10).tensors)
    assert names(run_dir) == ["step_00000010", "step_00000020.set_aside1", "step_00000030.set_aside1"]
    said = capfd.readouterr().err
    assert f"step_00000030/{name}" in said and "step_00000010 is taken instead" in said
    lines = journal()
    assert [line["checkpoint"] for line in lines] == ["step_00000030", "step_00000020"]
    assert all(name in line["problem"] and line["resumed_from"] == "step_00000010" for line in lines)
    checkpointer.save(20, make_state(20))  # the run gets there again
    assert verify(run_dir / "checkpoints" / "step_00000020") == []


def test_nothing_is_touched_before_every_byte_was_verified(
    checkpointer: DcpCheckpoint, saved: Path, make_state: MakeState, same_tensors: Callable[..., bool]
) -> None:
    flip(saved / "rank_00000.bin")  # in the last block
    live, expected = make_state(99), draw()
    with pytest.raises(DamagedCheckpoint, match=r"rank_00000\.bin: bytes \d+ to \d+ are not those that were saved"):
        checkpointer.load(live, str(saved))
    assert same_tensors(live.tensors, make_state(99).tensors) and live.facts["step"] == 99
    assert draw() != expected and saved.exists()  # an explicit one isn't moved aside


def test_a_run_is_never_silently_begun_anew(
    checkpointer: DcpCheckpoint, make_state: MakeState, saved: Path, run_dir: Path
) -> None:
    checkpointer.save(20, make_state(20))
    flip(saved / "facts.json")
    flip(run_dir / "checkpoints" / "step_00000020" / "manifest.json")
    with pytest.raises(CheckpointError, match="no checkpoint can be used") as caught:
        checkpointer.load(make_state(99))
    assert "step_00000010/facts.json" in str(caught.value) and "step_00000020/manifest.json" in str(caught.value)
    assert names(run_dir) == ["step_00000010", "step_00000020"]  # left for the user to look at
    with pytest.raises(CheckpointError, match="no checkpoint can be used"):
        newest_checkpoint(run_dir)


@pytest.mark.parametrize("of", ["step", "checkpoints", "run", "nothing"])
def test_an_explicit_path_is_a_checkpoint_or_an_error_that_names_one(
    checkpointer: DcpCheckpoint, make_state: MakeState, saved: Path, run_dir: Path, tmp_path: Path, of: str
) -> None:
    paths = {"step": saved, "checkpoints": saved.parent, "run": run_dir, "nothing": tmp_path / "absent"}
    if of == "step":
        assert checkpointer.load(make_state(99), str(saved))
        return
    found = "is not there; .*" if of == "nothing" else "is no checkpoint; "
    with pytest.raises(
        CheckpointError, match=f"^resume: {paths[of]} {found}name one of {saved}, or type auto or never$"
    ):
        checkpointer.load(make_state(99), str(paths[of]))
    shutil.rmtree(run_dir)
    with pytest.raises(CheckpointError, match="name a folder such as runs/x/checkpoints/step_00000100, or type auto"):
        checkpointer.load(make_state(99), str(paths[of]))


def test_a_step_that_was_not_kept_is_answered_with_those_that_were(
    checkpointer: DcpCheckpoint, make_state: MakeState, saved: Path
) -> None:
    for step in (20, 30, 40, 50):
        checkpointer.save(step, make_state(step))
    listed = ", ".join(str(saved.parent / f"step_000000{step}") for step in (50, 40, 30))
    with pytest.raises(CheckpointError) as caught:
        checkpointer.load(make_state(99), str(saved))
    assert str(caught.value) == (
        f"resume: {saved} is not there; a run keeps its newest checkpoint.keep_last; name one of {listed}, "
        "or type auto or never"
    )


def test_going_back_moves_the_later_ones_aside(
    checkpointer: DcpCheckpoint, make_state: MakeState, saved: Path, run_dir: Path, journal: Journal
) -> None:
    for step in (20, 30):
        checkpointer.save(step, make_state(step))
    assert checkpointer.load(make_state(99), str(saved))
    assert names(run_dir) == ["step_00000010", "step_00000020.set_aside1", "step_00000030.set_aside1"]
    assert {line["resumed_from"] for line in journal()} == {"step_00000010"}
    live = make_state(99)
    assert checkpointer.load(live) and live.facts["step"] == 10


def test_another_runs_checkpoint_leaves_this_run_as_it_is(
    mesh: Mesh, plan: Plan, make_state: MakeState, saved: Path, tmp_path: Path, run_dir: Path
) -> None:
    other = DcpCheckpoint(10, 3, mesh, plan, tmp_path / "other", asynchronous=False)
    other.save(50, make_state(50))
    live = make_state(99)
    assert other.load(live, str(saved)) and live.facts["step"] == 10
    assert names(tmp_path / "other") == ["step_00000050"] and names(run_dir) == ["step_00000010"]


def test_a_checkpoint_of_another_timeline_makes_room_and_is_kept(
    mesh: Mesh, plan: Plan, make_state: MakeState, saved: Path, run_dir: Path
) -> None:
    elsewhere = DcpCheckpoint(10, 3, mesh, plan, run_dir, asynchronous=False)  # this one was not loaded
    elsewhere.save(10, make_state(11))
    assert names(run_dir) == ["step_00000010", "step_00000010.set_aside1"]
    assert open_checkpoint(saved).facts["step"] == 11
    assert open_checkpoint(saved.with_name("step_00000010.set_aside1")).facts["step"] == 10


@pytest.mark.parametrize("world_size", [1, 2, 3, 5])
def test_the_ranks_together_verify_every_file(saved: Path, world_size: int) -> None:
    opened = open_checkpoint(saved)
    for name in opened.manifest.files:
        whole, content = (saved / name).read_bytes(), []
        flip(saved / name)
        for rank in range(world_size):
            with contextlib.suppress(DamagedCheckpoint):
                verify_share(opened, rank, world_size)
                content.append(rank)
        assert len(content) < world_size, name
        (saved / name).write_bytes(whole)


def test_a_changed_run_is_refused_before_anything_is_touched(
    checkpointer: DcpCheckpoint, make_state: MakeState, saved: Path, same_tensors: Callable[..., bool]
) -> None:
    flip(saved / "rank_00000.bin")  # not even looked at
    live = make_state(99, gate={"seed": 2, "trainer.seq_len": 8})
    with pytest.raises(ResumeRefused, match=r"seed +1 +2 +refused: .*\n  trainer.seq_len +nothing +8 +refused"):
        checkpointer.load(live)
    assert same_tensors(live.tensors, make_state(99).tensors)


def test_another_model_is_refused(checkpointer: DcpCheckpoint, make_state: MakeState, saved: Path) -> None:
    live = make_state(99)
    live.tensors["model.weight"] = torch.zeros(3)
    with pytest.raises(
        CheckpointMismatch, match=r"model\.weight: shape \[150, 200\] in the checkpoint, \[3\] in this run"
    ):
        checkpointer.load(live)


def test_state_that_is_no_json_is_refused_by_name(
    checkpointer: DcpCheckpoint, make_state: MakeState, run_dir: Path
) -> None:
    state = make_state(10)
    state.facts["odd"] = object()
    with pytest.raises(NotTensorsOnly, match=r"facts\.odd"):
        checkpointer.save(10, state)
    assert not run_dir.exists()


def test_leftovers_of_a_killed_save_are_ignored_and_removed(
    checkpointer: DcpCheckpoint, make_state: MakeState, saved: Path, run_dir: Path
) -> None:
    for name in (".step_00000020.saving", ".step_00000005.removed"):
        shutil.copytree(saved, saved.with_name(name))
    live = make_state(99)
    assert checkpointer.load(live) and live.facts["step"] == 10
    checkpointer.save(20, make_state(20))
    assert names(run_dir) == ["step_00000010", "step_00000020"]


def test_a_checkpoint_of_two_ranks_goes_on_in_one_with_random_states_of_its_own(
    mesh: Mesh, plan: Plan, make_state: MakeState, run_dir: Path, saved: Path
) -> None:
    manifest = orjson.loads((saved / "manifest.json").read_bytes())
    del manifest["hash"]
    manifest["world_size"] = 2
    (saved / "manifest.json").write_bytes(pretty_json({**manifest, "hash": hash_json(manifest)}))
    draws = []
    for _ in range(2):
        live = make_state(99)
        assert DcpCheckpoint(10, 3, mesh, plan, run_dir, asynchronous=False).load(live)
        draws.append(draw())
    assert draws[0] == draws[1]


@pytest.mark.parametrize(("key", "value"), [("every_steps", 0), ("keep_last", 0), ("every_steps", -5)])
def test_numbers_that_cannot_be_are_named(mesh: Mesh, plan: Plan, run_dir: Path, key: str, value: int) -> None:
    with pytest.raises(SettingError, match=f"^{key}: {value} is not allowed; give 1 or more"):
        DcpCheckpoint(
            **{"every_steps": 10, "keep_last": 3, key: value}, mesh=mesh, plan=plan, run_dir=run_dir, asynchronous=False
        )


def test_none_saves_and_finds_nothing(make_state: MakeState) -> None:
    none = NoCheckpoint()
    assert not any(none.due(step) for step in range(200))
    none.save(10, make_state(10))
    assert none.load(make_state(10)) is False
    with pytest.raises(ConfigError, match="runs/x can't be loaded with checkpoint=none"):
        none.load(make_state(10), "runs/x")
