"""The same step holds the same tensors, also for another process; an order that drifts is a stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pretrain.checkpoint.gate import CONFIG
from pretrain.debug import same_batch
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


def test_a_process_that_fails_says_how_and_why(
    small: Callable[..., Run], look: Callable[..., Finding], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = small()
    run.gate[CONFIG]["data"]["path"] = "nowhere"  # what only the other process reads anew
    found = look(SameBatch(), run)
    assert found.verdict is Verdict.STOP
    assert "which was to read data step 0 as the run does, ended with 1 and printed: " in found.details[0]
    assert "data.path: nowhere is no folder" in found.details[0] and "can be imported" in found.details[0]
    monkeypatch.setattr(same_batch, "COMMAND", ("sleep", "9"))
    monkeypatch.setattr(same_batch, "TIMEOUT_S", 0.1)
    found = look(SameBatch(), run)
    assert "gave no answer in 0 s: is the disk of data.path slow" in found.details[0]
    monkeypatch.setattr(same_batch, "COMMAND", ("sh", "-c", "echo ends here >&2; kill -9 $$"))
    found = look(SameBatch(), run)
    assert "was killed by signal 9 and printed: ends here; " in found.details[0]
