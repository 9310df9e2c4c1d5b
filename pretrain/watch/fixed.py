"""The few sequences that are looked at again and again: some of the training set, some held out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from pretrain.data.loader import ShardLoader
from pretrain.evaluate.windows import HeldOut, TrainingSubset
from pretrain.types import IGNORE

MASKED, PADDED = "masked", "padded"


@dataclass(frozen=True, slots=True)
class FixedBatch:
    """Sequences of one split.

    Attributes:
        inputs_BT, targets_BT: (B, T) int64 on the device, IGNORE where there is no target.
        without: why a position has none: masked in the training set, padding at the end of the held-out text.
    """

    inputs_BT: Tensor
    targets_BT: Tensor
    without: str


class FixedBatches:
    """Reads them at first use.

    Args:
        loader: whose data it is. device: where they go. num_rows: sequences of each split. seq_len: tokens of each.
    """

    def __init__(self, loader: ShardLoader, device: torch.device, num_rows: int, seq_len: int) -> None:
        self._loader, self._device, self._num_rows, self._seq_len = loader, device, num_rows, seq_len

    @cached_property
    def of_split(self) -> dict[str, FixedBatch]:
        """`train`: the first tokens of samples that evaluations read, masked as in training; `val`: windows of the
        first held-out source, the last of which is the end of its text, padded.
        """
        manifest, stream = self._loader.dataset.manifest, next(iter(self._loader.dataset.val.values()))
        inputs, targets = TrainingSubset(self._loader.samples, self._num_rows).read(0, self._num_rows)
        inputs, targets = inputs[:, : self._seq_len], targets[:, : self._seq_len]
        if self._loader.identity()["mask_after_eot"]:
            targets = np.where(inputs == manifest.eot_id, IGNORE, targets)
        held_out = HeldOut(stream, self._seq_len, manifest.eot_id)
        rows = {*range(min(self._num_rows - 1, held_out.num_rows)), held_out.num_rows - 1}
        windows = [held_out.read(row, 1) for row in sorted(rows)]
        of_val = [np.concatenate(part) for part in zip(*windows, strict=True)]
        return {
            "train": FixedBatch(self._on_device(inputs), self._on_device(targets), MASKED),
            "val": FixedBatch(self._on_device(of_val[0]), self._on_device(of_val[1]), PADDED),
        }

    def _on_device(self, ids: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(ids)).to(self._device)
