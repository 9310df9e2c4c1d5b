"""The same step holds the same tensors, also for another process; an order that drifts is a stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pretrain.debug.rung import Finding, Verdict
from pretrain.debug.same_batch import SameBatch, hash_of
from pretrain.run import Run

pytestmark = pytest.mark.slow


def test_two_processes_read_the_same(small: Callable[..., Run], look: Callable[..., Finding]) -> None:
    run = small("data.mask_after_eot=true")
    found = look(SameBatch(), run)
    assert found.verdict is Verdict.OK, found
    assert hash_of(run.loader.micro_batches(0))[:12] in found.figure
    assert hash_of(run.loader.micro_batches(0)) != hash_of(run.loader.micro_batches(1))


def test_an_order_that_hangs_on_how_often_it_was_asked_is_a_stop(
    small: Callable[..., Run], look: Callable[..., Finding]
) -> None:
    run = small()
    honest, calls = run.loader.micro_batches, []

    def micro_batches(data_step: int) -> list[Any]:
        calls.append(data_step)
        return honest(data_step + len(calls))

    run.loader.micro_batches = micro_batches  # type: ignore[method-assign]
    found = look(SameBatch(), run)
    assert found.verdict is Verdict.STOP
    assert "read again holds other tensors" in found.details[0]
    assert "another process reads other tensors" in found.details[1]
