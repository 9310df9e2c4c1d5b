"""Real runs that go well, of few and short sequences, whose norms have long tails: no step of them is skipped."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
import torch

from pretrain.mesh import Mesh
from pretrain.metrics.lines import read_metrics
from tests.pretrain.faults import finish

CPU = Mesh(rank=0, world_size=1, local_rank=0, device=torch.device("cpu"))
RUNS = {
    "hot": ["seed=1", "trainer.global_batch_size=2", "optim.lr=1e-2", "schedule=constant"],
    "wider": ["seed=2", "model.d_model=64", "trainer.seq_len=64", "trainer.global_batch_size=4", "optim.lr=2e-3"],
    "lstm": ["seed=3", "model=lstm_tiny", "model.d_model=64", "trainer.global_batch_size=4", "optim.lr=5e-3"],
}


def steps_skipped(worker: ModuleType, overrides: list[str], tmp_path: Path, name: str, *more: str) -> list[int]:
    of_gpt = ("model.num_heads", "model.d_model") if name == "lstm" else ()
    kept = [text for text in overrides if not text.startswith(of_gpt)]
    line = [*kept, *RUNS[name], "trainer.max_steps=200", "spike=skip", "trainer.micro_batch_size=2", *more]
    given = {text.partition("=")[0]: text for text in line}  # the last one counts
    groups = [text for key, text in given.items() if "." not in key]
    run = worker.make_run(CPU, [*groups, *(text for key, text in given.items() if "." in key)])
    finish(run)
    assert int(run.guard.tensors()["count"].min()) >= 64  # it has been judging, and has not begun anew
    lines = list(read_metrics(tmp_path / "run/metrics.jsonl"))
    assert len(lines) == 200 and lines[-1]["loss"] < lines[0]["loss"] - 0.5
    return [line["step"] for line in lines if line["skipped"]]


@pytest.mark.parametrize("name", RUNS)
def test_no_step_is_skipped(worker: ModuleType, overrides: list[str], tmp_path: Path, name: str) -> None:
    assert steps_skipped(worker, overrides, tmp_path, name) == []


def test_the_hot_one_has_norms_that_stand_out(worker: ModuleType, overrides: list[str], tmp_path: Path) -> None:
    """Of the median alone: that is what the second measure is for."""
    assert steps_skipped(worker, overrides, tmp_path, "hot", "spike.min_norm_ratio=3", "spike.min_norm_jump=1")
