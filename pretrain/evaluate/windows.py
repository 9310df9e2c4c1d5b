"""The rows that an evaluation reads: all held-out tokens, and a fixed sample of the training set."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt

from data_pipeline.shards.reader import TokenStream
from pretrain.data.samples import Samples
from pretrain.types import IGNORE

Int64s = npt.NDArray[np.int64]


class Windows(ABC):
    """Rows of one length, by number, from `num_rows` on all masked: so every rank can take part in every forward pass.

    Attributes:
        num_rows: rows that hold targets.
    """

    num_rows: int

    @abstractmethod
    def read(self, first: int, num_rows: int) -> tuple[Int64s, Int64s]:
        """Return inputs and targets of the rows from `first` on: (num_rows, seq_len) int64, IGNORE where masked."""


class HeldOut(Windows):
    """A run of tokens cut into windows, each token a target exactly once: target i is token i, input i the one before.

    Before the very first token stands an end-of-text, as before any document, so it is a target too; the last window is
    padded with masked positions.
    """

    def __init__(self, stream: TokenStream, seq_len: int, eot_id: int) -> None:
        self.num_rows = -(-stream.num_tokens // seq_len)
        self._stream, self._seq_len, self._eot_id = stream, seq_len, eot_id

    def read(self, first: int, num_rows: int) -> tuple[Int64s, Int64s]:
        start = min(first * self._seq_len, self._stream.num_tokens)
        stop = min(start + num_rows * self._seq_len, self._stream.num_tokens)
        inputs = np.full(num_rows * self._seq_len, self._eot_id, dtype=np.int64)
        targets = np.full(num_rows * self._seq_len, IGNORE, dtype=np.int64)
        targets[: stop - start] = self._stream.tokens(start, stop)
        inputs[1 : stop - start] = targets[: stop - start][:-1]
        if 0 < start < stop:
            inputs[0] = self._stream.tokens(start - 1, start)[0]
        return inputs.reshape(num_rows, -1), targets.reshape(num_rows, -1)


class TrainingSample(Windows):
    """The same samples of the training set at every evaluation, mixed as in training, unmasked.

    They are the sample numbers -num_rows to -1: of epochs before the first, so no stretch of the training order is
    favoured, and the same for any length of the run.
    """

    def __init__(self, samples: Samples, num_rows: int) -> None:
        self.num_rows = num_rows
        self._samples = samples

    def read(self, first: int, num_rows: int) -> tuple[Int64s, Int64s]:
        rows = np.arange(first, first + num_rows, dtype=np.int64)
        there = rows < self.num_rows
        tokens = self._samples.read(np.where(there, -1 - rows, -1)).astype(np.int64)
        return tokens[:, :-1], np.where(there[:, None], tokens[:, 1:], IGNORE)
