"""What a line says of a step, against the same sums done by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from data_pipeline.shards.manifest import SourceManifest
from pretrain.metrics.fields import StepFields, bytes_per_token, perplexity
from pretrain.types import Record

RECORD = Record(
    *(7, 6, 1e-3, 0.0, 2.0, 4.0, False, 12, False),
    batch_hash=255,
    grad_max=0.5,
    grad_max_at=1,
    source_nats=(9.0, 0.0, 15.0),
    source_targets=(4, 0, 8),
)
NAMES, SOURCES = ["embedding", "head"], ["books", "code", "web"]


def fields(sizes: tuple[float, ...] = (4.0, 3.0, 2.0), max_grad_norm: float | None = 1.0) -> StepFields:
    return StepFields(NAMES, SOURCES, sizes, max_grad_norm, 8, torch.device("cpu"))


def test_a_source_that_is_not_in_the_batch_has_no_loss() -> None:
    found = fields().of(RECORD, 7, {})
    assert found["source_losses"] == {"books": 2.25, "web": 1.875}
    assert found["source_tokens"] == {"books": 4, "web": 8}


def test_bits_per_byte_takes_the_bytes_of_the_batch_from_the_counts_of_its_sources() -> None:
    bits = 2.0 * 12 / math.log(2)
    assert fields().of(RECORD, 7, {})["bits_per_byte"] == pytest.approx(bits / (4 * 4.0 + 8 * 2.0))
    assert "bits_per_byte" not in fields((4.0, 0.0, 2.0)).of(RECORD, 7, {})


def test_clipping_scales_the_largest_gradient_and_is_counted_over_the_applied_steps() -> None:
    clipped = fields().of(RECORD, 5, {"num_clipped": 3})
    assert (clipped["grad_max"], clipped["grad_max_clipped"], clipped["grad_max_name"]) == (0.5, 0.125, "head")
    assert (clipped["num_clipped"], clipped["clipped_frac"], clipped["num_skipped"]) == (4, 0.8, 2)
    whole = fields(max_grad_norm=None).of(RECORD, 5, {"num_clipped": 3})
    assert (whole["grad_max_clipped"], whole["num_clipped"]) == (0.5, 3)
    skipped = fields().of(replace(RECORD, skipped=True), 5, {"num_clipped": 3})
    assert skipped["num_clipped"] == 3


def test_a_loss_that_overflows_has_an_infinite_perplexity() -> None:
    assert perplexity(math.log(50.0)) == pytest.approx(50.0)
    assert perplexity(1e4) == math.inf and math.isnan(perplexity(math.nan))


def test_samples_and_the_hash_of_the_batch_are_told() -> None:
    found = fields().of(RECORD, 7, {})
    assert (found["samples_seen"], found["batch_hash"]) == (56, "00000000000000ff")
    assert found["host_memory_bytes"] > 1 << 20 and "device_memory_bytes" not in found


def test_bytes_a_token_are_the_manifest_s() -> None:
    sources = {"web": SourceManifest(1.0, 100, 3, 420, []), "code": SourceManifest(1.0, 50, 1, 0, [])}
    assert bytes_per_token(sources, ["code", "web"]) == [0.0, 4.2]
