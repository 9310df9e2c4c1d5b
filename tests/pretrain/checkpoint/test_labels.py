"""Labels: pending, healthy when clean steps followed, bad when none did; whether bytes verify is another matter."""

from __future__ import annotations

import math
import os
import random
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pretrain.checkpoint.checkpointer import DcpCheckpoint
from pretrain.checkpoint.integrity import verify
from pretrain.checkpoint.labels import Label, Labelled, Waiting, read_label, write_label
from pretrain.checkpoint.reading import newest_checkpoint
from pretrain.checkpoint.saving import Save
from pretrain.mesh import Mesh
from pretrain.plan import Plan
from pretrain.types import TrainState, WayBack

MakeState = Callable[..., TrainState]
Journal = Callable[[], list[dict[str, Any]]]
WHY = "the guard ended the run at step 31, no clean step followed"


def labels(run_dir: Path) -> dict[int, str]:
    folders = (run_dir / "checkpoints").glob("step_" + "[0-9]" * 8)
    return {int(path.name[5:]): read_label(path).label.value for path in sorted(folders)}


@pytest.mark.parametrize("label", [Labelled(Label.HEALTHY), Labelled(Label.BAD, "a reason"), Labelled(Label.PENDING)])
def test_a_label_is_read_as_it_was_written_and_says_nothing_of_the_bytes(saved: Path, label: Labelled) -> None:
    write_label(saved, label.label, label.reason)
    assert read_label(saved) == label and verify(saved) == []
    (saved / "facts.json").write_bytes(b"")
    assert read_label(saved) == label and verify(saved) != []


@pytest.mark.parametrize(
    "content",
    [
        *(None, b"", b"{", b"null", b"[]", b"\x80\x04N.", b'{"label":"healthy"}', b'{"label":"great","reason":""}'),
        *(b'{"label":{"_target_":"os.mkdir"},"reason":""}', b'{"label":"healthy","reason":"' + b"x" * 100_000 + b'"}'),
    ],
)
def test_what_is_no_label_is_pending(saved: Path, content: bytes | None) -> None:
    write_label(saved, Label.HEALTHY)
    if content is None:
        (saved / "label.json").unlink()
    else:
        (saved / "label.json").write_bytes(content)
    assert read_label(saved) == Labelled(Label.PENDING) and verify(saved) == []


def test_a_label_whose_writing_is_killed_anywhere_is_the_old_or_the_new_one(saved: Path) -> None:
    number, status = 0, 9
    while status == 9:
        write_label(saved, Label.PENDING)
        child = os.fork()
        if child == 0:
            seen = 0

            def watch(event: str, arguments: tuple[Any, ...]) -> None:
                nonlocal seen
                if event in {"open", "os.rename", "os.remove"} and str(saved) in str(arguments):
                    seen += 1
                    if seen > number:  # noqa: B023 (a fork has its own)
                        os._exit(9)

            sys.addaudithook(watch)
            write_label(saved, Label.BAD, WHY)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert read_label(saved) in (Labelled(Label.PENDING), Labelled(Label.BAD, WHY)) and verify(saved) == []
        number += 1
    assert number > 3 and read_label(saved) == Labelled(Label.BAD, WHY)


@pytest.mark.parametrize("seed", range(10))
def test_who_waits_is_who_a_plain_count_says(seed: int) -> None:
    generator, waiting, steps = random.Random(seed), Waiting(), 5
    saved: dict[Path, int] = {}
    healthy: set[Path] = set()
    num_updates = 0
    for step in range(60):
        num_updates += generator.random() < 0.6
        found = waiting.followed(num_updates, steps)
        expected = {path for path, then in saved.items() if num_updates - then >= steps} - healthy
        assert set(found) == expected
        healthy |= expected
        if generator.random() < 0.3:
            saved[Path(f"step_{step}")] = num_updates
            waiting.add(Path(f"step_{step}"), num_updates)
        assert set(waiting.unfollowed(num_updates)) == {path for path, then in saved.items() if then == num_updates}


@pytest.fixture
def make(mesh: Mesh, plan: Plan, run_dir: Path) -> Callable[..., DcpCheckpoint]:
    def build(healthy_after_steps: int = 4, every_steps: int = 10) -> DcpCheckpoint:
        return DcpCheckpoint(
            every_steps, 3, mesh, plan, run_dir, healthy_after_steps=healthy_after_steps, asynchronous=False
        )

    return build


def test_accepted_steps_make_a_checkpoint_healthy_and_skipped_ones_do_not(
    make: Callable[..., DcpCheckpoint], make_state: MakeState, run_dir: Path
) -> None:
    checkpointer = make()
    checkpointer.save(10, make_state(10, num_updates=8))
    for num_updates in (8, 8, 8, 8, 8, 8, 9, 10, 11):
        checkpointer.poll(num_updates)
        assert labels(run_dir) == {10: "pending"}
    checkpointer.poll(12)
    assert labels(run_dir) == {10: "healthy"}


def test_a_short_interval_needs_no_more_steps_than_it_has(
    make: Callable[..., DcpCheckpoint], make_state: MakeState, run_dir: Path
) -> None:
    checkpointer = make(healthy_after_steps=100, every_steps=5)
    checkpointer.save(5, make_state(5))
    checkpointer.poll(9)
    assert labels(run_dir) == {5: "pending"}
    checkpointer.poll(10)
    assert labels(run_dir) == {5: "healthy"}


def test_a_run_that_goes_on_counts_on(make: Callable[..., DcpCheckpoint], make_state: MakeState, run_dir: Path) -> None:
    first = make()
    for step in (10, 20):
        first.save(step, make_state(step, num_updates=step))
    second = make()
    assert second.load(make_state(99))
    assert labels(run_dir) == {10: "pending", 20: "pending"}
    second.poll(21)
    assert labels(run_dir) == {10: "healthy", 20: "pending"}
    second.poll(24)
    assert labels(run_dir) == {10: "healthy", 20: "healthy"}


def test_a_run_goes_back_to_a_healthy_one_alone(
    make: Callable[..., DcpCheckpoint], make_state: MakeState, run_dir: Path
) -> None:
    checkpointer = make()
    assert checkpointer.way_back(WayBack(100, 1), make_state(99)) is None
    for step in (10, 20, 30):
        checkpointer.save(step, make_state(step))
    checkpointer.poll(24)
    assert labels(run_dir) == {10: "healthy", 20: "healthy", 30: "pending"}
    folder, live = run_dir / "checkpoints", make_state(99)
    assert checkpointer.way_back(WayBack(100, 1), live) == (20, 20, str(folder / "step_00000020"))
    assert checkpointer.way_back(WayBack(25, 5), live) == (20, 20, str(folder / "step_00000020"))
    assert checkpointer.way_back(WayBack(25, 6), live) == (10, 10, str(folder / "step_00000010"))
    assert checkpointer.way_back(WayBack(20, 0), live) == (10, 10, str(folder / "step_00000010"))
    assert checkpointer.way_back(WayBack(25, 24), live) == (10, 10, str(folder / "step_00000010"))  # none so old
    assert checkpointer.way_back(WayBack(10, 0), live) is None


@pytest.fixture
def rejected(make: Callable[..., DcpCheckpoint], make_state: MakeState) -> DcpCheckpoint:
    """Steps 10 and 20 were followed by an accepted one, 30 and 31 were not: there the guard ended the run."""
    checkpointer = make()
    for step, num_updates in ((10, 10), (20, 20), (30, 24), (31, 24)):
        checkpointer.save(step, make_state(step, num_updates=num_updates))
        checkpointer.poll(num_updates)
    checkpointer.reject(24, WHY)
    return checkpointer


def test_what_no_clean_step_followed_is_bad_and_set_aside_with_the_reason(
    rejected: DcpCheckpoint, make_state: MakeState, run_dir: Path, journal: Journal, capfd: Any
) -> None:
    assert labels(run_dir) == {10: "healthy", 20: "healthy", 30: "bad", 31: "bad"}
    assert newest_checkpoint(run_dir).manifest.step == 20
    live = make_state(99)
    assert rejected.load(live) and live.facts["step"] == 20
    assert labels(run_dir) == {10: "healthy", 20: "healthy"}
    assert [(line["checkpoint"], line["problem"].partition(": ")[2]) for line in journal()] == [
        ("step_00000031", f"labelled bad: {WHY}"),
        ("step_00000030", f"labelled bad: {WHY}"),
    ]
    said = capfd.readouterr().err
    assert f"step_00000031: labelled bad: {WHY}\n  moved to step_00000031.set_aside1" in said


def test_one_labelled_bad_is_taken_when_it_is_asked_for_or_nothing_else_is_left(
    rejected: DcpCheckpoint, make: Callable[..., DcpCheckpoint], make_state: MakeState, run_dir: Path, capfd: Any
) -> None:
    live = make_state(99)
    assert rejected.load(live, str(run_dir / "checkpoints/step_00000030")) and live.facts["step"] == 30
    assert f"labelled bad: {WHY}; taken all the same, it was asked for" in capfd.readouterr().err
    assert labels(run_dir)[30] == "pending"
    rejected.reject(24, "the same step was as bad in another run")
    assert read_label(run_dir / "checkpoints/step_00000030") == Labelled(Label.BAD, WHY)  # the first reason stands
    for step in (10, 20):
        (run_dir / f"checkpoints/step_{step:08d}/facts.json").write_bytes(b"")
    again = make()
    assert again.load(live) and live.facts["step"] == 30
    assert f"labelled bad: {WHY}; taken all the same, no other can be used" in capfd.readouterr().err
    assert labels(run_dir) == {30: "pending"}
    again.poll(28)
    assert labels(run_dir) == {30: "healthy"}


def test_the_values_decide_before_the_label(
    make: Callable[..., DcpCheckpoint], make_state: MakeState, run_dir: Path
) -> None:
    checkpointer = make()
    checkpointer.save(10, make_state(10))
    sick = make_state(20)
    sick.tensors["model.weight"][0] = math.nan
    checkpointer.save(20, sick)
    write_label(run_dir / "checkpoints/step_00000020", Label.HEALTHY)  # whoever wrote that
    live = make_state(99)
    assert checkpointer.load(live) and live.facts["step"] == 10


def test_a_label_that_cannot_be_written_does_not_end_the_run(
    make: Callable[..., DcpCheckpoint], make_state: MakeState, run_dir: Path, capfd: Any
) -> None:
    checkpointer = make()
    checkpointer.save(10, make_state(10))
    (run_dir / "checkpoints/step_00000010/label.json").unlink()
    (run_dir / "checkpoints/step_00000010/label.json").mkdir()
    checkpointer.poll(14)
    assert "can't be labelled healthy" in capfd.readouterr().err


@pytest.mark.parametrize("asynchronous", [False, True])
def test_what_holds_infinity_is_bad_from_the_first_and_nobody_goes_back_to_it(
    mesh: Mesh, plan: Plan, make_state: MakeState, run_dir: Path, asynchronous: bool
) -> None:
    checkpointer = DcpCheckpoint(10, 3, mesh, plan, run_dir, healthy_after_steps=4, asynchronous=asynchronous)
    checkpointer.save(10, make_state(10))
    sick = make_state(20)
    sick.tensors["optim.weight.exp_avg"][0] = math.inf
    checkpointer.save(20, sick)
    checkpointer.wait()
    folder, live = run_dir / "checkpoints/step_00000020", make_state(99)
    why = "NaN or infinity was saved in optim.weight.exp_avg"
    assert read_label(folder) == Labelled(Label.BAD, why) and verify(folder) == []
    checkpointer.poll(24)
    assert labels(run_dir) == {10: "healthy", 20: "bad"}
    for label in (Label.HEALTHY, Label.PENDING):  # whoever wrote that, an older version perhaps
        write_label(folder, label)
        assert checkpointer.way_back(WayBack(100, 1), live) == (10, 10, str(run_dir / "checkpoints/step_00000010"))
    again = DcpCheckpoint(10, 3, mesh, plan, run_dir, healthy_after_steps=4, asynchronous=asynchronous)
    assert again.load(make_state(99)) and again.resumption is not None and again.resumption.step == 10
    again.close()
    checkpointer.close()


def test_what_waits_when_a_run_goes_on_is_what_can_be_gone_back_to(
    make: Callable[..., DcpCheckpoint], make_state: MakeState, run_dir: Path
) -> None:
    checkpointer, sick = make(), make_state(10)
    sick.tensors["model.weight"][0] = math.inf
    checkpointer.save(10, sick)
    checkpointer.save(20, make_state(20))
    write_label(run_dir / "checkpoints/step_00000010", Label.PENDING)  # as an older version left it
    again = make()
    assert again.load(make_state(99))
    again.poll(24)
    assert labels(run_dir) == {10: "pending", 20: "healthy"}


def test_saves_that_last_until_the_next_one_are_labelled_too(
    mesh: Mesh, plan: Plan, make_state: MakeState, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, write = threading.Semaphore(0), Save.write

    def wait_and_write(self: Save, *arguments: Any) -> None:
        assert written.acquire(timeout=60)
        write(self, *arguments)

    monkeypatch.setattr(Save, "write", wait_and_write)
    checkpointer = DcpCheckpoint(10, 3, mesh, plan, run_dir)
    for step in range(10, 60, 10):
        checkpointer.poll(step)  # the one before is under way, and ends when the next one waits for it
        if step > 10:
            written.release()
        checkpointer.save(step, make_state(step))
    assert labels(run_dir) == {20: "healthy", 30: "healthy", 40: "healthy"}
    written.release()
    checkpointer.close()
