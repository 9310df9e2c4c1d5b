"""Whether checkpoints have room."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pretrain.debug.room import Room, judged, nearest_folder, num_kept
from pretrain.debug.rung import Finding, Verdict
from pretrain.run import Run
from pretrain.train import train
from pretrain.types import Status


def test_small_checkpoints_have_room(small: Callable[..., Run], look: Callable[..., Finding]) -> None:
    assert look(Room(), small()).verdict is Verdict.OK


def test_what_a_checkpoint_takes_is_what_one_has_taken(
    small: Callable[..., Run], look: Callable[..., Finding], tmp_path: Path
) -> None:
    run = small("checkpoint=default", "checkpoint.every_steps=8")
    told = look(Room(), run).figure
    assert train(run) is Status.FINISHED
    run.checkpointer.close()
    files = (tmp_path / "run" / "checkpoints" / "step_00000008").iterdir()
    taken = sum(path.stat().st_size for path in files)
    size, unit, *words = told.split()
    assert unit == "kB" and words[:4] == ["of", "tensors", "a", "checkpoint,"]
    assert float(size) * 1000 == pytest.approx(taken, rel=0.15)  # of a model so small, tables are an eighth


def test_a_run_that_saves_nothing_is_a_warning(small: Callable[..., Run], look: Callable[..., Finding]) -> None:
    assert look(Room(), small("checkpoint=none")).verdict is Verdict.WARNING


@pytest.mark.parametrize(
    ("free", "expected"), [(50, []), (40, [Verdict.WARNING]), (10, [Verdict.WARNING]), (9, [Verdict.STOP])]
)
def test_too_little_is_told(free: int, expected: list[Verdict]) -> None:
    assert [problem.verdict for problem in judged(10, 5, free, Path("here"))] == expected


@pytest.mark.parametrize(
    ("overrides", "kept"),
    [
        (["checkpoint.every_steps=10", "checkpoint.keep_last=3"], 4),
        (["checkpoint.every_steps=500", "checkpoint.keep_last=3"], 2),
        (["checkpoint.every_steps=10", "checkpoint.keep_last=1"], 3),
        (["checkpoint.every_steps=10", "checkpoint.keep_last=3", "checkpoint.keep_every_steps=100"], 14),
    ],
)
def test_how_many_there_are_at_once(small: Callable[..., Run], overrides: list[str], kept: int) -> None:
    assert num_kept(small("trainer.max_steps=1000", *overrides)) == kept


def test_the_nearest_folder_is_asked(tmp_path: Path) -> None:
    assert nearest_folder(tmp_path / "runs" / "x") == tmp_path
    assert nearest_folder(tmp_path) == tmp_path
