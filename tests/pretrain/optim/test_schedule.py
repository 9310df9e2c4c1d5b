from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

from foundation.errors import SettingError
from pretrain.optim.schedule import Constant, WarmupCosine
from pretrain.plan import Plan
from pretrain.seats import Schedule


def plan_of(max_steps: int) -> Plan:
    return Plan(
        seq_len=64,
        global_batch_size=8,
        micro_batch_size=4,
        dp_size=1,
        max_steps=max_steps,
        samples_per_epoch=1000,
        seed=0,
    )


def factors(schedule: Schedule, max_steps: int) -> list[float]:
    return [schedule.factor(step) for step in range(max_steps)]


@pytest.mark.parametrize("warmup", [1, 7, 30])
@pytest.mark.parametrize(("initial", "minimum"), [(0.0, 0.1), (0.2, 0.0), (1.0, 1.0)])
def test_equals_torchs_schedulers(warmup: int, initial: float, minimum: float) -> None:
    total = 50
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    start = initial + (1 - initial) / (warmup + 1)  # the line leaves `initial` one step before the first
    up = LinearLR(optimizer, start_factor=start, end_factor=1.0, total_iters=warmup)
    down = CosineAnnealingLR(optimizer, T_max=total - warmup, eta_min=minimum)
    both = SequentialLR(optimizer, [up, down], milestones=[warmup])
    expected = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SequentialLR calls what it warns of itself
        for _ in range(total):
            expected.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            both.step()
    found = factors(WarmupCosine(plan_of(total), warmup, initial_lr_frac=initial, min_lr_frac=minimum), total)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@given(total=st.integers(2, 300), data=st.data())
def test_shape_of_the_curve(total: int, data: st.DataObject) -> None:
    warmup = data.draw(st.integers(0, total - 1))
    found = np.array(factors(WarmupCosine(plan_of(total), warmup), total))
    steps = np.arange(total)
    # written once more, as one interpolation and one cosine over the whole run
    line = np.interp(steps, [-1, warmup], [0.0, 1.0])
    cosine = 0.55 + 0.45 * np.cos(np.pi * np.clip((steps - warmup) / (total - warmup), 0, 1))
    np.testing.assert_allclose(found, np.minimum(line, cosine), rtol=1e-9)
    assert found[0] > 0  # the first batch is not wasted
    assert found.argmax() == warmup
    assert found[warmup] == 1.0
    assert found[-1] > 0.1  # the floor is reached at total, one step after the last


def test_the_end_is_the_floor() -> None:
    schedule = WarmupCosine(plan_of(20), warmup_steps=5, min_lr_frac=0.25)
    assert schedule.factor(20) == schedule.factor(21) == 0.25


@pytest.mark.parametrize("make", [WarmupCosine, Constant])
def test_a_share_of_the_run(make: Callable[..., Schedule]) -> None:
    assert factors(make(plan_of(200), warmup_frac=0.1), 200) == factors(make(plan_of(200), warmup_steps=20), 200)
    assert factors(make(plan_of(200)), 200) == factors(make(plan_of(200), warmup_steps=4), 200)  # 2 % where none is set
    assert make(plan_of(200), warmup_steps=0).factor(0) == 1.0


def test_constant_stays() -> None:
    found = factors(Constant(plan_of(50), warmup_steps=4, initial_lr_frac=0.5), 50)
    np.testing.assert_allclose(found, [0.6, 0.7, 0.8, 0.9] + [1.0] * 46)


def test_a_warmup_as_long_as_the_run() -> None:
    assert factors(WarmupCosine(plan_of(3), warmup_steps=3), 4) == [0.25, 0.5, 0.75, 0.1]


@pytest.mark.bad_input(51)
@pytest.mark.parametrize("make", [WarmupCosine, Constant])
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"warmup_steps": 5, "warmup_frac": 0.1},
            "^warmup_steps: 5 is not allowed; give null, or null instead of warmup_frac=0.1",
        ),
        ({"warmup_steps": 51}, r"^warmup_steps: 51 is not .* up to 50, the steps of the run \(25,600 tokens / 512 per"),
        ({"warmup_steps": -1}, "^warmup_steps: -1 is not allowed; give 0 for no warm-up"),
        ({"warmup_frac": 1.5}, "^warmup_frac: 1.5 is not allowed; give a number from 0 to 1: a share of the run"),
        ({"initial_lr_frac": -0.1}, "^initial_lr_frac: -0.1 is not allowed; .* a share of optim.lr"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_by_its_name(
    make: Callable[..., Schedule], settings: dict[str, float], words: str
) -> None:
    with pytest.raises(SettingError, match=words):
        make(plan_of(50), **settings)
