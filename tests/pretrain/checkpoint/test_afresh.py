"""A checkpoint of a run with another guard: that guard is left, everything else is as strict as ever."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pretrain.checkpoint.checkpointer import DcpCheckpoint
from pretrain.checkpoint.errors import CheckpointError, CheckpointMismatch
from pretrain.types import TrainState

MakeState = Callable[..., TrainState]


@pytest.mark.parametrize(
    "guard",
    [
        {},
        {"guard.count": torch.tensor(7)},
        {"guard.count": torch.tensor(7), "guard.mask": torch.ones(18, dtype=torch.bool)},
        {"guard.count": torch.tensor(7.0), "guard.mask": torch.ones(17, dtype=torch.bool)},
        {"guard.count": torch.tensor(7), "guard.mask": torch.ones(17, dtype=torch.bool), "guard.new": torch.ones(1)},
    ],
)
def test_another_guard_begins_anew_and_the_rest_goes_on(
    checkpointer: DcpCheckpoint, make_state: MakeState, same_tensors: Callable[..., bool], capfd: Any, guard: Any
) -> None:
    checkpointer.save(10, make_state(10, guard={"skips": 3}))
    live = make_state(99, guard={"mine": 0})
    others = {name for name in live.tensors if not name.startswith("guard.")}
    live.tensors = {name: live.tensors[name] for name in others} | {name: t.clone() for name, t in guard.items()}
    assert checkpointer.load(live)
    expected = {name: tensor for name, tensor in make_state(10).tensors.items() if name in others}
    assert same_tensors(live.tensors, expected | guard)
    assert (live.facts["guard"], live.facts["step"]) == ({"mine": 0}, 10)
    assert capfd.readouterr().err.count("saved with another guard (spike)") == 1


def test_other_facts_make_another_guard_and_the_same_ones_none(
    checkpointer: DcpCheckpoint, make_state: MakeState, same_tensors: Callable[..., bool], capfd: Any
) -> None:
    checkpointer.save(10, make_state(10, guard={"skips": 3}))
    live = make_state(99, guard={"skips": 0, "more": 0})
    assert checkpointer.load(live) and live.facts["guard"] == {"skips": 0, "more": 0}
    assert torch.equal(live.tensors["guard.mask"], make_state(99).tensors["guard.mask"])
    assert "another guard" in capfd.readouterr().err
    live = make_state(99, guard={"skips": 0})
    assert checkpointer.load(live) and live.facts["guard"] == {"skips": 3}
    assert same_tensors(live.tensors, make_state(10).tensors)
    assert "another guard" not in capfd.readouterr().err


def test_with_another_guard_too_everything_else_is_strict_and_every_byte_verified(
    checkpointer: DcpCheckpoint, make_state: MakeState, saved: Path
) -> None:
    live = make_state(99)
    del live.tensors["guard.mask"], live.tensors["optim.weight.step"]
    with pytest.raises(CheckpointMismatch, match=r"optim\.weight\.step: only in the checkpoint"):
        checkpointer.load(live)
    data = (saved / "rank_00000.bin").read_bytes()
    (saved / "rank_00000.bin").write_bytes(data[:-1] + bytes([data[-1] ^ 16]))
    live = make_state(99)
    del live.tensors["guard.mask"]
    with pytest.raises(CheckpointError, match=r"rank_00000\.bin"):
        checkpointer.load(live)
