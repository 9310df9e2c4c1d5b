"""The rows that an evaluation reads: the held-out tokens, and a fixed part of the training set."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from data_pipeline.shards.reader import TokenStream
from pretrain.data.samples import Samples
from pretrain.types import IGNORE

Int64s = npt.NDArray[np.int64]


class Windows(Protocol):
    """Rows of one length, by number, from `num_rows` on all masked: so every rank can take part in every forward pass.

    Attributes:
        num_rows: rows that hold targets.
    """

    num_rows: int

    def read(self, first: int, num_rows: int) -> tuple[Int64s, Int64s]:
        """Return inputs and targets of the rows from `first` on: (num_rows, seq_len) int64, IGNORE where masked."""


class HeldOut:
    """A run of tokens cut into windows, each token a target exactly once: target i is token i, input i the one before.

    Before the very first token stands an end-of-text, as before any document, so it is a target too; the last window is
    padded with masked positions. With a bound below the number of windows, as many are read, spread evenly over the
    run: the same at every evaluation.

    Args:
        stream: the tokens.
        seq_len: tokens per window.
        eot_id: the end-of-text token.
        max_rows: windows read at most; None for all.
    """

    def __init__(self, stream: TokenStream, seq_len: int, eot_id: int, max_rows: int | None = None) -> None:
        self._num_windows = num_windows(stream, seq_len)
        self.num_rows = self._num_windows if max_rows is None else min(self._num_windows, max_rows)
        self._stream, self._seq_len, self._eot_id = stream, seq_len, eot_id

    def read(self, first: int, num_rows: int) -> tuple[Int64s, Int64s]:
        """Return inputs and targets of the rows from `first` on; as `Windows`."""
        inputs = np.full((num_rows, self._seq_len), self._eot_id, dtype=np.int64)
        targets = np.full((num_rows, self._seq_len), IGNORE, dtype=np.int64)
        for place, row in enumerate(range(first, min(first + num_rows, self.num_rows))):
            start = row * self._num_windows // self.num_rows * self._seq_len
            stop = min(start + self._seq_len, self._stream.num_tokens)
            targets[place, : stop - start] = self._stream.tokens(start, stop)
            inputs[place, 1 : stop - start] = targets[place, : stop - start - 1]
            if start:
                inputs[place, 0] = self._stream.tokens(start - 1, start)[0]
        return inputs, targets


def num_windows(stream: TokenStream, seq_len: int) -> int:
    """Return how many windows of `seq_len` tokens hold the stream; the last may be short."""
    return -(-stream.num_tokens // seq_len)


class TrainingSubset:
    """The same sequences of the training set at every evaluation, mixed as in training, unmasked.

    They are the sample numbers -num_rows to -1: of epochs before the first, so no stretch of the training order is
    favoured, and the same for any length of the run.

    Args:
        samples: of the run.
        num_rows: how many.
    """

    def __init__(self, samples: Samples, num_rows: int) -> None:
        self.num_rows = num_rows
        self._samples = samples

    def read(self, first: int, num_rows: int) -> tuple[Int64s, Int64s]:
        """Return inputs and targets of the rows from `first` on; as `Windows`."""
        rows = np.arange(first, first + num_rows, dtype=np.int64)
        there = rows < self.num_rows
        tokens = self._samples.read(np.where(there, -1 - rows, -1)).astype(np.int64)
        return tokens[:, :-1], np.where(there[:, None], tokens[:, 1:], IGNORE)
