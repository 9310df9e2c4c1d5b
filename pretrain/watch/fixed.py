"""The few sequences that are looked at again and again: some of the training set, some held out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from data_pipeline.shards.reader import TokenStream
from pretrain.data.loader import ShardLoader
from pretrain.evaluate.windows import HeldOut, TrainingSubset
from pretrain.types import IGNORE

MASKED, PADDED = "masked", "padded"


@dataclass(frozen=True, slots=True)
class FixedBatch:
    """Sequences of one split.

    Attributes:
        inputs_BT, targets_BT: (B, T) int64 on the device, IGNORE where there is no target.
        inputs, targets: the same on the host.
        without: why a position has none: masked in the training set, padding at the end of the held-out text.
    """

    inputs_BT: Tensor
    targets_BT: Tensor
    inputs: np.ndarray
    targets: np.ndarray
    without: str


class FixedBatches:
    """Reads them at first use.

    Args:
        loader: whose data it is. device: where they go. num_rows: sequences of each split.
        seq_len: tokens of each, at most those of a sample.
    """

    def __init__(self, loader: ShardLoader, device: torch.device, num_rows: int, seq_len: int) -> None:
        self._loader, self._device, self._num_rows, self._most_tokens = loader, device, num_rows, seq_len

    @property
    def _seq_len(self) -> int:
        return min(self._most_tokens, self._loader.samples.seq_len)  # positions behind it were never trained

    @cached_property
    def of_split(self) -> dict[str, FixedBatch]:
        """`train`: the first tokens of samples that evaluations read, masked as in training; `val`, where text is held
        out: windows of its first source, the last of which is the end of the text, padded.
        """
        inputs, targets = TrainingSubset(self._loader.samples, self._num_rows).read(0, self._num_rows)
        inputs, targets = inputs[:, : self._seq_len], targets[:, : self._seq_len]
        if self._loader.identity()["mask_after_eot"]:
            targets = np.where(inputs == self._loader.dataset.manifest.eot_id, IGNORE, targets)
        found = {"train": self._batch(inputs, targets, MASKED)}
        held_out = (stream for stream in self._loader.dataset.val.values() if stream.num_tokens)
        if stream := next(held_out, None):
            found["val"] = self._batch(*self._windows(stream), PADDED)
        return found

    def _windows(self, stream: TokenStream) -> tuple[np.ndarray, np.ndarray]:
        windows = HeldOut(stream, self._seq_len, self._loader.dataset.manifest.eot_id)
        rows = {*range(min(self._num_rows - 1, windows.num_rows)), windows.num_rows - 1}
        inputs, targets = zip(*(windows.read(row, 1) for row in sorted(rows)), strict=True)
        return np.concatenate(inputs), np.concatenate(targets)

    def _batch(self, inputs: np.ndarray, targets: np.ndarray, without: str) -> FixedBatch:
        one, other = (torch.from_numpy(np.ascontiguousarray(ids)).to(self._device) for ids in (inputs, targets))
        return FixedBatch(one, other, inputs, targets, without)
