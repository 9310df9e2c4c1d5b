"""What a metrics line says of one step beside its rates: plain arithmetic on the host, from what the step measured."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from data_pipeline.shards.manifest import SourceManifest
from foundation.memory import resident_bytes
from pretrain.types import Record

MEMORY_EVERY_S = 1.0  # asking costs up to 0.1 ms; between two looks the last values stand


class StepFields:
    """Turns records into fields of metrics lines.

    Args:
        names: of all parameters, in the model's order.
        sources: names of the run's sources, in the order of a record's sums.
        bytes_per_token: UTF-8 bytes of text a token of each source, end-of-text among the tokens; 0 where unknown.
        max_grad_norm: what gradients are clipped to; None for not at all.
        batch_size: sequences a step.
        device: whose memory is told.
    """

    def __init__(
        self,
        names: Sequence[str] = (),
        sources: Sequence[str] = (),
        bytes_per_token: Sequence[float] = (),
        max_grad_norm: float | None = None,
        batch_size: int = 0,
        device: torch.device | None = None,
    ) -> None:
        self._names, self._sources, self._bytes_per_token = names, sources, bytes_per_token
        self._max_grad_norm, self._batch_size, self._device = max_grad_norm, batch_size, device
        self._memory: dict[str, int] = {}
        self._looked_s = -math.inf

    def of(self, record: Record, num_updates: int, before: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of one step.

        `num_clipped` and `clipped_frac` are of the applied steps from the run's first on, `num_skipped` of the others.
        `grad_max_clipped` is what of `grad_max` reaches the optimizer. `bits_per_byte` takes the batch's bytes from the
        manifest's counts: each source's targets times the bytes of its text over its tokens. End-of-text is in those
        tokens and in the loss: it comes near that of an evaluation, which counts the bytes behind each target.

        Args:
            record: of the step. num_updates: applied steps, this one included. before: the line before.
        """
        scale = 1.0 if self._max_grad_norm is None else max(1.0, record.grad_norm / self._max_grad_norm)
        num_clipped = int(before.get("num_clipped", 0)) + (scale > 1.0 and not record.skipped)
        fields: dict[str, Any] = {
            "loss": record.loss,
            "perplexity": perplexity(record.loss),
            "num_skipped": record.step - num_updates,
            "grad_max": record.grad_max,
            "grad_max_clipped": record.grad_max / scale,
            "grad_max_name": self._names[record.grad_max_at] if self._names else "",
            "num_clipped": num_clipped,
            "clipped_frac": num_clipped / max(1, num_updates),
            "samples_seen": record.step * self._batch_size,
            "batch_hash": f"{record.batch_hash:016x}",
            **self._measured_by_source(record),
        }
        return fields | self._look_at_memory()

    def _measured_by_source(self, record: Record) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        if len(self._sources) > 1:
            sums = list(zip(self._sources, record.source_nats, record.source_targets, strict=True))
            fields["source_losses"] = {name: nats / targets for name, nats, targets in sums if targets}
            fields["source_tokens"] = {name: targets for name, _, targets in sums if targets}
        pairs = zip(record.source_targets, self._bytes_per_token, strict=False)
        num_bytes = math.fsum(targets * ratio for targets, ratio in pairs)
        if num_bytes and all(self._bytes_per_token):
            fields["bits_per_byte"] = record.loss * record.num_targets / math.log(2) / num_bytes
        return fields

    def _look_at_memory(self) -> dict[str, int]:
        """Return rank 0's memory: what the process holds, and on a GPU the most its tensors held so far."""
        now_s = time.monotonic()
        if now_s - self._looked_s >= MEMORY_EVERY_S:
            self._looked_s = now_s
            self._memory = {"host_memory_bytes": resident_bytes()}
            if self._device is not None and self._device.type == "cuda":
                self._memory["device_memory_bytes"] = torch.cuda.max_memory_allocated(self._device)
        return self._memory


def perplexity(loss: float) -> float:
    """Return exp(loss), infinite where that overflows."""
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf


def bytes_per_token(sources: Mapping[str, SourceManifest], names: Sequence[str]) -> list[float]:
    """Return the UTF-8 bytes a token of each named source, from the manifest's counts; 0 where they are not counted."""
    return [sources[name].utf8_bytes / max(1, sources[name].tokens) for name in names]
