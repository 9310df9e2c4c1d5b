"""A run that goes back by itself passes over what it could not take up whole: what was saved with other settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pretrain.checkpoint.checkpointer import DcpCheckpoint
from pretrain.checkpoint.labels import Label, write_label
from pretrain.types import TrainState, WayBack

MakeState = Callable[..., TrainState]


def of_sgd(state: TrainState) -> TrainState:
    state.tensors.pop("optim.weight.exp_avg")
    return state


def of_another_guard(state: TrainState) -> TrainState:
    state.tensors.pop("guard.mask")
    return state


def of_another_seed(state: TrainState) -> TrainState:
    state.facts["gate"] = {"seed": 2}
    return state


@pytest.mark.parametrize(
    ("other", "told"), [(of_sgd, "exp_avg"), (of_another_guard, "guard"), (of_another_seed, "seed")]
)
def test_a_checkpoint_of_other_settings_is_passed_over(
    checkpointer: DcpCheckpoint, make_state: MakeState, run_dir: Path, other: Any, told: str, capfd: Any
) -> None:
    for step in (10, 20, 30):
        checkpointer.save(step, make_state(step) if step == 20 else other(make_state(step)))
        write_label(run_dir / f"checkpoints/step_{step:08d}", Label.HEALTHY)
    live = make_state(40)
    assert checkpointer.way_back(WayBack(36, 1), live) == (20, 20, str(run_dir / "checkpoints/step_00000020"))
    said = capfd.readouterr().err
    assert "step_00000030: not gone back to" in said and told in said
    assert checkpointer.way_back(WayBack(15, 1), live) is None
    saved = sorted(path.name for path in (run_dir / "checkpoints").iterdir())
    assert saved == ["step_00000010", "step_00000020", "step_00000030"]  # they are as good as they were


def test_settings_that_the_run_has_gone_on_with_do_not_stand_in_the_way(
    checkpointer: DcpCheckpoint, make_state: MakeState, run_dir: Path
) -> None:
    def config(lr: float, **more: Any) -> dict[str, Any]:
        return {"config": {"optim": {"lr": lr}, **more}}

    checkpointer.save(10, make_state(10, gate=config(1e-3)))
    write_label(run_dir / "checkpoints/step_00000010", Label.HEALTHY)
    assert checkpointer.way_back(WayBack(20, 1), make_state(20, gate=config(1e-4))) is None
    allowed = make_state(20, gate=config(1e-4, allow_change=["optim.lr"]))
    assert checkpointer.way_back(WayBack(20, 1), allowed) is not None
    (run_dir / "config.yaml").write_text("optim:\n  lr: 0.0001\n")  # it was allowed when the run went on
    assert checkpointer.way_back(WayBack(20, 1), make_state(20, gate=config(1e-4))) is not None
