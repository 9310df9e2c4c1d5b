from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pretrain.plan import Plan


@pytest.fixture
def plan() -> Plan:
    return Plan(
        seq_len=128, global_batch_size=8, micro_batch_size=4, dp_size=1, max_steps=2000, samples_per_epoch=500, seed=1
    )


@pytest.fixture
def make_line() -> Callable[..., dict[str, Any]]:
    """Return a metrics line as the run writes it, fields changed or added at will."""

    def make(step: int, **fields: Any) -> dict[str, Any]:
        line = {
            "step": step,
            "data_step": step - 1,
            "num_updates": step,
            "loss": 5.0 - step / 1000,
            "lr": 3e-4,
            "grad_norm": 1.25,
            "skipped": False,
            "tokens_seen": 1024 * step,
            "epochs": {"web": step / 250},
            "tokens_per_s": 10_240.0,
            "step_time_s": 0.1,
        }
        return line | fields

    return make
