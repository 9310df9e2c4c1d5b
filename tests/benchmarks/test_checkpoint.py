"""Every side saves what it is given, each time anew, and is compared with what it loads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

pytestmark = pytest.mark.filterwarnings("ignore")  # of DCP, that it works in one process


@pytest.fixture(scope="module")
def checkpoint(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("checkpoint")


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(30, 40, generator=generator) for name in ("model.a", "optim.a.exp_avg")}


def test_the_state_is_as_large_as_asked_for(checkpoint: ModuleType) -> None:
    made = checkpoint.make_state(0.06)
    assert 0.06e9 <= checkpoint.size_bytes(made) < 0.07e9
    assert {name.partition(".")[0] for name in made} == {"model", "optim"}


def test_each_side_is_measured_as_often_as_asked_and_loads_what_it_saved(
    checkpoint: ModuleType, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    taken = checkpoint.measure(state, 2, tmp_path)
    assert list(taken) == [side.name for side in checkpoint.sides()] and len(taken) == 6
    for held, whole, load in taken.values():
        assert len(held) == len(whole) == len(load) == 2
        assert all(0 < one <= other for one, other in zip(held, whole, strict=True))
    assert list(tmp_path.iterdir()) == []


def test_a_side_that_loads_something_else_is_no_measurement(
    checkpoint: ModuleType, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    class Forgetful(checkpoint.Torch):
        def load(self, live: dict[str, torch.Tensor], folder: Path) -> None:
            super().load(live, folder)
            live["model.a"][0, 0] += 1

    live = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    with pytest.raises(AssertionError, match=r"torch\.save"):
        checkpoint.timed(Forgetful(), state, live, tmp_path)


def test_hashing_is_timed_over_the_whole_state(checkpoint: ModuleType, state: dict[str, torch.Tensor]) -> None:
    assert len(rates := checkpoint.hash_rate(state, 3)) == 3 and min(rates) > 0
