"""What tests of the ladder need: gpt_tiny on small data as the subject of a rung, and runs with a model of faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from pretrain.debug.ladder import putting_back, tried
from pretrain.debug.rung import Finding, Rung, Subject
from pretrain.mesh import Mesh
from pretrain.run import Run

GPT_TINY = ["model=gpt_tiny", "trainer.seq_len=64", "trainer.global_batch_size=4", "trainer.micro_batch_size=2"]
QUIET = ["logger=none", "precision=float32", "data.max_epochs_per_source=null", "trainer.max_steps=8"]


@pytest.fixture
def make(worker: ModuleType, data_dir: Path, tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Assemble gpt_tiny with further overrides, later ones first."""
    made: list[Run] = []

    def make(*overrides: str) -> Run:
        mesh = Mesh(0, 1, 0, torch.device("cpu"))
        line = {text.partition("=")[0]: text for text in (*GPT_TINY, *QUIET, f"data.path={data_dir}", *overrides)}
        made.append(worker.make_run(mesh, [*line.values(), f"runs_dir={tmp_path}", "run_name=run"]))
        return made[-1]

    yield make
    for run in made:
        run.loader.close()


@pytest.fixture
def small(make: Callable[..., Run]) -> Callable[..., Run]:
    """The same with a model of a fiftieth: where a rung takes many passes."""
    sizes = ["model.num_layers=2", "model.num_heads=2", "model.d_model=32", "model.context_len=64"]
    return lambda *overrides: make(*sizes, *overrides)


@pytest.fixture
def look(tmp_path: Path) -> Callable[..., Finding]:
    """Try one rung on a run, as the ladder does."""

    def look(rung: Rung, run: Run, is_short: bool = False, saved_line: dict[str, float] | None = None) -> Finding:
        subject = Subject(run, tmp_path / "run", is_short, saved_line)
        with putting_back(rung, subject):
            return tried(rung, subject)

    return look
