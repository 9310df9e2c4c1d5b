"""What the tests of this room share: a guard on one CPU process, and training curves to judge."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pretrain.mesh import Mesh
from pretrain.plan import Plan
from pretrain.stability.guard import SkipGuard


@pytest.fixture
def mesh() -> Mesh:
    return Mesh(rank=0, world_size=1, local_rank=0, device=torch.device("cpu"))


@pytest.fixture
def plan() -> Plan:
    return Plan(
        seq_len=8,
        global_batch_size=4,
        micro_batch_size=2,
        dp_size=1,
        max_steps=1000,
        samples_per_epoch=1000,
        seed=0,
    )


@pytest.fixture
def make_guard(mesh: Mesh, plan: Plan, tmp_path: Path) -> Callable[..., SkipGuard]:
    def make(**settings: Any) -> SkipGuard:
        return SkipGuard(mesh=mesh, plan=plan, device=torch.device("cpu"), run_dir=tmp_path, **settings)

    return make


@pytest.fixture
def curve() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Return losses and gradient norms of a run that goes well: a falling loss, a warm-up, noise of both."""

    def make(
        seed: int, steps: int, loss_noise: float = 0.03, norm_noise: float = 0.15
    ) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng(seed)
        step = np.arange(steps)
        slow = np.convolve(random.normal(size=steps + 20), np.ones(21) / 21, mode="valid")  # noise with a memory
        loss = 3.0 + 8.0 / (1 + step / 15) ** 0.7 + loss_noise * (random.normal(size=steps) + slow)
        norm = (0.6 + 8.0 * np.exp(-step / 25)) * np.exp(norm_noise * random.normal(size=steps))
        return loss.astype(np.float32), norm.astype(np.float32)

    return make
