"""Batch arithmetic: what is set, what follows, what is refused with the arithmetic shown."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.errors import ConfigError, SettingError
from pretrain.plan import Plan, TrainerSettings


def settings(**changes: Any) -> TrainerSettings:
    return TrainerSettings(**{"seq_len": 16, "global_batch_size": 8, "micro_batch_size": 2, **changes})


def plan(dp_size: int = 1, samples_per_epoch: int = 100, **changes: Any) -> Plan:
    return settings(**changes).plan(dp_size, samples_per_epoch, seed=0)


@given(micro=st.integers(1, 9), accum=st.integers(1, 9), dp_size=st.integers(1, 9))
def test_the_parts_make_up_the_whole(micro: int, accum: int, dp_size: int) -> None:
    made = plan(dp_size, global_batch_size=micro * accum * dp_size, micro_batch_size=micro)
    assert made.grad_accum_steps == accum
    assert made.tokens_per_step == 16 * micro * accum * dp_size


def test_a_part_of_an_epoch_is_told_as_one() -> None:
    assert "= 2.00 epochs" in plan(max_epochs=2).describe()
    assert "= 0.0032 epochs" in plan(samples_per_epoch=2500, max_steps=1).describe()


def test_no_length_means_one_epoch_rounded_up() -> None:
    assert plan().max_steps == 13  # 100 samples in batches of 8


@pytest.mark.parametrize(
    ("length", "steps"),
    [({"max_steps": 7}, 7), ({"max_tokens": 129}, 2), ({"max_epochs": 0.5}, 7), ({"max_epochs": 2}, 25)],
)
def test_each_length_gives_steps(length: dict[str, Any], steps: int) -> None:
    assert plan(**length).max_steps == steps


def test_the_plan_prints_all_three_lengths() -> None:
    text = plan(max_steps=25).describe()
    assert "25 steps = 3,200 tokens = 2.00 epochs" in text


def test_two_lengths_are_refused() -> None:
    with pytest.raises(SettingError) as refused:
        settings(max_steps=5, max_tokens=9)
    assert str(refused.value) == (
        "max_steps: 5 is set, and max_tokens=9 as well, by the command line, an experiment or the option of trainer; "
        "one alone sets the length: add trainer.max_steps=null or trainer.max_tokens=null for what you don't mean"
    )


@pytest.mark.bad_input(51)
def test_a_batch_that_does_not_divide_shows_the_arithmetic_and_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"nearest that are: 6, 12; or keep it with 1, 2, 4 ranks$"):
        TrainerSettings(seq_len=16, global_batch_size=8, micro_batch_size=2, max_steps=1).plan(3, 1000, seed=0)
    with pytest.raises(ConfigError, match=r"trainer\.global_batch_size: 8 .* 3 x 1 = 3; the nearest that are: 6, 9$"):
        plan(micro_batch_size=3)
    with pytest.raises(ConfigError, match=r"2 x 3 = 6"):
        plan(dp_size=3)


def test_clipping_is_switched_off_by_null_and_the_error_says_so() -> None:
    assert settings(max_grad_norm=None).max_grad_norm is None
    with pytest.raises(SettingError, match=r"^max_grad_norm: 0 is not allowed; give .* or null for no clipping"):
        settings(max_grad_norm=0)


@pytest.mark.bad_input(51)
@pytest.mark.parametrize("key", ["seq_len", "global_batch_size", "micro_batch_size", "max_steps"])
def test_a_size_that_is_not_above_zero_is_named(key: str) -> None:
    with pytest.raises(SettingError, match=f"^{key}: 0 is not allowed; give "):
        settings(**{key: 0})


def test_an_interval_of_the_ranks_comparison_is_one_or_null() -> None:
    assert settings().check_replicas_every_steps == 1000
    assert settings(check_replicas_every_steps=None).check_replicas_every_steps is None
    with pytest.raises(SettingError, match=r"^check_replicas_every_steps: 0 is not allowed; give 1 or more, or null"):
        settings(check_replicas_every_steps=0)
