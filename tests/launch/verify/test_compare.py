"""The comparison sees one bit, one line, one counter, one rank's random state."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from launch.verify.compare import Row, compare_runs, same, table, timeless
from pretrain.checkpoint.checkpointer import DcpCheckpoint
from pretrain.json_lines import JsonLines
from pretrain.mesh import Mesh
from pretrain.plan import Plan
from pretrain.types import TrainState

LINES = [{"step": 1, "loss": 2.0, "step_time_s": 0.1, "tokens_per_s": 5.0}, {"step": 2, "loss": 1.5, "mfu": 0.1}]


def state() -> TrainState:
    tensors = {"model.w": torch.arange(6.0), "optim.w.exp_avg": torch.ones(6), "guard.count": torch.tensor(3)}
    facts = {"step": 2, "num_updates": 2, "line": {"step": 2, "step_time_s": 0.5}, "gate": {"run": "a"}}
    return TrainState(tensors, facts)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a run's folder as a run ends."""

    def write(name: str, saved: TrainState, lines: list[dict[str, object]]) -> Path:
        mesh = Mesh(0, 1, 0, torch.device("cpu"))
        plan = Plan(8, 4, 2, 1, 2, 100, 0)
        torch.manual_seed(1)
        run_dir = tmp_path / name
        at_once = DcpCheckpoint(2, 3, mesh=mesh, plan=plan, run_dir=run_dir, asynchronous=False)
        at_once.save(2, saved)
        for line in lines:
            JsonLines(run_dir / "metrics.jsonl").append(line, durable=True)
        return run_dir

    return write


def broken(one: Path, other: Path) -> list[str]:
    return [row.what for row in compare_runs(one, other) if not row.holds]


def test_equal_runs_hold_whatever_their_clocks_and_names(write: Callable[..., Path]) -> None:
    other, lines = state(), copy.deepcopy(LINES)
    other.facts["gate"] = {"run": "b"}
    other.facts["line"]["step_time_s"] = 0.7
    lines[0]["step_time_s"] = lines[1]["mfu"] = 9.0
    found = compare_runs(write("one", state(), LINES), write("other", other, lines))
    assert all(row.holds for row in found)
    assert [row.what for row in found[:5]] == [
        "parameters",
        "optimizer state",
        "guard: windows",
        "counters",
        "random states",
    ]
    assert "1 tensor, 6 values" in found[0].compared


@pytest.mark.parametrize(
    ("name", "row"),
    [("model.w", "parameters"), ("optim.w.exp_avg", "optimizer state"), ("guard.count", "guard: windows")],
)
def test_one_bit_of_a_tensor_is_seen(write: Callable[..., Path], name: str, row: str) -> None:
    other = state()
    other.tensors[name].view(-1).view(torch.uint8)[0] ^= 1
    assert broken(write("one", state(), LINES), write("other", other, LINES)) == [row]


def test_a_counter_a_line_and_a_random_state_are_seen(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = write("one", state(), LINES)
    counted = state()
    counted.facts["num_updates"] = 1
    assert broken(one, write("counted", counted, LINES)) == ["counters"]
    changed = copy.deepcopy(LINES)
    changed[1]["loss"] = 1.5000001
    assert broken(one, write("changed", state(), changed)) == ["metrics.jsonl"]
    assert broken(one, write("shorter", state(), LINES[:1])) == ["metrics.jsonl"]
    monkeypatch.setattr(torch, "manual_seed", lambda seed: torch.default_generator.manual_seed(seed + 1))
    assert broken(one, write("drawn", state(), LINES)) == ["random states"]


def test_runs_that_end_elsewhere_are_not_compared_further(write: Callable[..., Path], tmp_path: Path) -> None:
    (found,) = compare_runs(write("one", state(), LINES), tmp_path / "none")
    assert found.holds is False and "do not end with the same one" in found.result


def test_nan_is_nan_and_zero_has_a_sign() -> None:
    assert same(torch.tensor([float("nan")]), torch.tensor([float("nan")]))
    assert not same(torch.tensor([0.0]), torch.tensor([-0.0]))
    assert not same(torch.tensor([0.0]), torch.tensor([0.0], dtype=torch.float64))
    assert not same(torch.zeros(2), torch.zeros(1, 2))


def test_only_clocks_are_left_out() -> None:
    line = {"loss": 1, "took_s": 2, "mfu": 3, "inner": [{"a_s": 1, "seeds": 2}]}
    assert timeless(line) == {"loss": 1, "inner": [{"seeds": 2}]}


def test_the_table_says_what_holds_what_is_broken_and_what_was_not_tried() -> None:
    text = table([Row("a", "b", "c", True), Row("long", "b", "c", False), Row("d", "e", "f", None)])
    assert [line.split()[-1] for line in text.splitlines()] == ["promise", "holds", "BROKEN", "tried"]
