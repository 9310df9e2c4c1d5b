"""The same step holds the same tensors, also for another process; an order that drifts is a stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from foundation.config import DEFAULT_TARGETS, build
from pretrain.checkpoint.gate import CONFIG
from pretrain.debug import same_batch
from pretrain.debug.rung import Finding, Verdict
from pretrain.debug.same_batch import SameBatch, batch_hash, hash_of
from pretrain.main import Config, check_config
from pretrain.mesh import Mesh
from pretrain.metrics.lines import read_metrics
from pretrain.run import Run
from pretrain.run_files import METRICS
from pretrain.train import train
from pretrain.types import Status

pytestmark = pytest.mark.slow


def test_two_processes_read_the_same(small: Callable[..., Run], look: Callable[..., Finding]) -> None:
    run = small("data.mask_after_eot=true")
    found = look(SameBatch(), run)
    assert found.verdict is Verdict.OK, found
    assert f"data step 0 has the batch_hash {batch_hash(run.loader, run.plan, 0)}, the same" in found.figure
    assert hash_of(run.loader.micro_batches(0)) != hash_of(run.loader.micro_batches(1))


def test_the_hash_is_that_of_the_step_s_line_on_any_number_of_ranks(small: Callable[..., Run]) -> None:
    run = small("checkpoint=none", "eval=none", "trainer.max_steps=2")
    one, two = (batch_hash(run.loader, run.plan, step) for step in range(2))
    many = replace(run.plan, dp_size=2)
    shards = build(Config(**check_config(run.gate[CONFIG], DEFAULT_TARGETS)).data)
    loader = shards.loader(many, Mesh(1, 2, 1, torch.device("cpu")))
    assert batch_hash(loader, many, 0) == one
    loader.close()
    assert train(run) is Status.FINISHED
    run.log.close("finished")
    assert [line["batch_hash"] for line in read_metrics(run.run_dir / METRICS)] == [one, two]


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
