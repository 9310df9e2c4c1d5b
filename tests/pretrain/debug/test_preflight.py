"""The look before a training: what it prints, that a stop ends the run before it begins, that no bit is touched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pretrain.checkpoint.state import random_states
from pretrain.debug.errors import NotCleared
from pretrain.debug.kept import live_tensors
from pretrain.debug.preflight import look_before
from pretrain.parallel.compile import missing_for_compile
from pretrain.run import Run
from pretrain.train import train
from pretrain.types import Status


def bits(run: Run) -> tuple[dict[str, torch.Tensor], dict[str, Any], dict[str, Any]]:
    tensors = {name: each.detach().clone() for name, each in live_tensors(run).items()}
    return tensors, random_states(run.mesh.device), run.guard.facts()


def test_a_short_look_touches_no_bit(small: Callable[..., Run], tmp_path: Path, capsys: Any) -> None:
    run = small("model.dropout=0.1", "trainer.max_steps=1000")
    assert run.preflight == "short"  # the default
    before = bits(run)
    look_before(run, tmp_path / "run")
    after = bits(run)
    assert before[1:] == after[1:]
    assert before[0].keys() == after[0].keys() and len(after[0]) > 100
    assert all(torch.equal(one, after[0][name]) for name, one in before[0].items())
    assert all(each.grad is None for each in run.model.parameters())
    assert list(tmp_path.iterdir()) == []
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 and lines[0].startswith(("preflight: 7 rungs ok", "preflight: 6 rungs ok, no time for: "))


@pytest.mark.parametrize("preflight", ["short", pytest.param("full", marks=pytest.mark.slow)])
def test_the_run_after_it_is_the_run_without_it(small: Callable[..., Run], tmp_path: Path, preflight: str) -> None:
    line = ["model.dropout=0.1", "checkpoint=none", "eval=none"]
    line += ["trainer.seq_len=16", "optim.lr=1e-2"]  # learns by heart soon
    looked_at, twin = small(*line, f"trainer.preflight={preflight}"), small(*line, "trainer.preflight=none")
    random = random_states(torch.device("cpu"))
    look_before(looked_at, tmp_path / "run")
    assert random_states(torch.device("cpu")) == random
    look_before(twin, tmp_path / "run")
    for run in (looked_at, twin):
        assert train(run) is Status.FINISHED
    one, other = bits(looked_at)[0], bits(twin)[0]
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_a_stop_is_an_error_with_a_code_of_its_own(small: Callable[..., Run], tmp_path: Path, capsys: Any) -> None:
    with pytest.raises(
        NotCleared, match=r"preflight: learning rate: the peak is .* did you mean optim\.lr=0\.0006"
    ) as raised:
        look_before(small("optim.lr=5"), tmp_path / "run")
    assert (raised.value.exit_code, raised.value.restart_helps) == (5, False)
    shown = capsys.readouterr().out
    assert shown.startswith("STOP     learning rate   ")
    assert "not tried: disk, first loss, gradients, causality" in shown


def test_none_looks_at_nothing(small: Callable[..., Run], tmp_path: Path, capsys: Any) -> None:
    look_before(small("optim.lr=5", "trainer.preflight=none"), tmp_path / "run")
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_a_short_look_at_a_compiled_model_compiles_nothing(small: Callable[..., Run], tmp_path: Path) -> None:
    if missing_for_compile(torch.device("cpu")):
        pytest.skip("needs a C++ compiler")
    run = small("trainer.compile=true")
    assert run.compiled == "compiled"
    from torch._dynamo.utils import counters

    counters.clear()
    look_before(run, tmp_path / "run")
    assert counters["stats"]["unique_graphs"] == 0
