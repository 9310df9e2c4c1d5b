"""What a stopped run is told. That the lines work is seen in test_runs.py."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from pretrain.stability.advice import advise, checkpoint_before
from pretrain.types import Record


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    for name in (
        "step_00000100",
        "step_00000200",
        "step_00000200.set_aside1",
        "step_00000300",
        ".step_00000150.saving",
    ):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(("step", "expected"), [(301, 300), (300, 200), (101, 100), (100, None), (0, None)])
def test_the_newest_checkpoint_of_before_a_step(run_dir: Path, step: int, expected: int | None) -> None:
    folder = checkpoint_before(run_dir, step)
    assert (folder and folder.name) == (expected and f"step_{expected:08d}")
    assert checkpoint_before(run_dir / "missing", step) is None


@pytest.mark.parametrize(
    ("loss", "norm", "rise", "lets_through"),
    [
        (5.0, 9.0, 0.8, "spike.min_rise_nats=2 "),
        (9.0, 9.0, 4.2, "spike.min_rise_nats=9 "),
        (99.0, 9.0, 95.0, None),
        (math.nan, 1.0, math.nan, None),
        (5.0, math.inf, 0.8, None),
    ],
)
def test_a_setting_is_named_only_where_it_changes_the_verdict(
    run_dir: Path, loss: float, norm: float, rise: float, lets_through: str | None
) -> None:
    text = advise(Record(305, 304, 1e-3, 0.0, loss, norm, True, 8, False), rise, run_dir, last_update=299)
    assert (lets_through is None) == ("min_rise_nats" not in text)
    assert lets_through is None or f"{lets_through}allow_change=[spike.min_rise_nats]" in text
    assert f"resume={run_dir}/checkpoints/step_00000200 optim.lr=... allow_change=[optim.lr]" in text
    assert "spike=rewind" not in text  # it is one already
    skips_alone = advise(
        Record(305, 304, 1e-3, 0.0, loss, norm, True, 8, False), rise, run_dir, last_update=299, goes_back=False
    )
    assert (
        skips_alone == f"{text}; where these batches are to blame, spike=rewind allow_change=[spike] passes over them"
    )
    assert text.startswith("The same line goes back to step_00000200, what was saved since the last update being")
    anew = advise(Record(305, 304, 1e-3, 0.0, loss, norm, True, 8, False), rise, run_dir, last_update=50)
    assert "resume=never" in anew and "checkpoints" not in anew
    begins = (
        "The same line goes on with new counts; " if lets_through else "The weights are spoilt, or this machine is "
    )
    assert anew.startswith(begins)
