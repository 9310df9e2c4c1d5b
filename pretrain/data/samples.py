"""Sample numbers to tokens: which source, which epoch, which place, and the tokens that lie there.

All of it is arithmetic on the number: nothing is stored, so resuming at any step costs nothing. Numbers below 0 are
valid too and mean epochs before the first, whose orders training never uses: a fixed sample for evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from data_pipeline.shards.reader import TokenStream
from pretrain.data.dataset import Dataset, Share
from pretrain.data.errors import DataError
from pretrain.data.mixture import BLOCK_SAMPLES, Mixture, PlainMixture, block_counts
from pretrain.data.order import permute, permute_plainly
from pretrain.data.origin import Place
from pretrain.pieces import NONE, choose

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]

# Places computed at once: in numpy 4,096 cost 0.15 ms and 8 cost 0.07, so small batches share one precomputed stretch.
AHEAD_SAMPLES = 4096


class SourceSamples:
    """The samples of one source: sample i is its tokens [i * seq_len, (i + 1) * seq_len], one overlapping.

    Args:
        name: of the source; gives it an order of its own.
        stream: its tokens.
        num_samples: samples of one epoch.
        seq_len: targets per sample.
        seed: of the order.
        plain_pieces: of which `order` runs plainly.
    Attributes:
        num_samples: N, samples of one epoch.
        tail_tokens: tokens at the end that fill no sample and are dropped.
    """

    def __init__(
        self,
        name: str,
        stream: TokenStream,
        num_samples: int,
        seq_len: int,
        seed: int,
        plain_pieces: frozenset[str] = NONE,
    ) -> None:
        self.num_samples = num_samples
        self.tail_tokens = stream.num_tokens - num_samples * seq_len - 1
        self._name, self._stream, self._seq_len, self._seed = name, stream, seq_len, seed
        self._permute = choose("order", plain_pieces, permute, permute_plainly)
        self._ahead = (0, np.empty(0, dtype=np.int64))  # places of the numbers from the first one on

    def places(self, numbers: Int64s) -> Int64s:
        """Return (k,) int64: number n is place permute(epoch, n % N) of epoch n // N.

        Args:
            numbers: (k,) int64 sample numbers within the source, in any order.
        """
        if numbers.size == 0 or numbers.max() - numbers.min() >= AHEAD_SAMPLES:
            return self._permuted(numbers)
        first, ahead = self._ahead
        if numbers.min() < first or numbers.max() >= first + len(ahead):
            first = int(numbers.min())
            ahead = self._permuted(np.arange(first, first + AHEAD_SAMPLES))
            self._ahead = first, ahead  # one assignment: evaluation may read while the prefetch thread does
        return ahead[numbers - first]

    def read(self, numbers: Int64s) -> np.ndarray:
        """Return (k, seq_len + 1) token ids, in the dtype of the shards.

        Args:
            numbers: (k,) int64 sample numbers within the source.
        Raises:
            DamagedShard: a block read for the first time is not what was written.
        """
        return self._stream.rows(self.places(numbers) * self._seq_len, self._seq_len + 1)

    def _permuted(self, numbers: Int64s) -> Int64s:
        epochs, index = np.divmod(numbers, self.num_samples)
        places = np.empty_like(numbers)
        for epoch in np.unique(epochs).tolist():
            mine = epochs == epoch
            places[mine] = self._permute(index[mine], self.num_samples, self._seed, epoch, self._name)
        return places


class Samples:
    """The samples of a run, over all its sources.

    Args:
        dataset: an open data folder.
        seq_len: targets per sample.
        seed: of the order.
        mixture: as `Dataset.shares` takes it.
        planned: samples of the run from each source, where some have budgets; None where all have weights.
        plain_pieces: of which `order` and `mixture` run plainly.
    Attributes:
        pieces: which it has twice (pretrain/pieces.py).
        weights: source -> its part of the run, relative to the others'.
        counts: source -> its samples in what is repeated: a block of weights, or the run where some have budgets.
    Raises:
        DataError: a source too short for one sample or of too small a weight; as `Dataset.shares`.
    """

    def __init__(
        self,
        dataset: Dataset,
        seq_len: int,
        seed: int,
        mixture: Mapping[str, Share] | None = None,
        planned: Mapping[str, int] | None = None,
        plain_pieces: frozenset[str] = NONE,
    ) -> None:
        weights = _weights(dataset.shares(mixture), planned)
        self.seq_len, self.weights = seq_len, weights
        self.sources = {
            name: SourceSamples(
                name, dataset.train[name], dataset.num_samples(name, seq_len), seq_len, seed, plain_pieces
            )
            for name in weights
        }
        self.pieces = frozenset({"order", "mixture"} if len(weights) > 1 else {"order"})
        self._ordered = list(self.sources.values())
        self.counts = _block_counts(weights) if planned is None else {name: planned[name] for name in weights}
        counts = list(self.counts.values())
        mixture_of = choose("mixture", plain_pieces, Mixture, PlainMixture)
        self._mixture = mixture_of(counts) if planned is None else mixture_of.of_run(counts)

    def read(self, samples: Int64s) -> Int32s:
        """Return the tokens of samples.

        Args:
            samples: (k,) int64 sample numbers of the run.
        Returns:
            (k, seq_len + 1) int32 token ids: inputs are all but the last, targets all but the first.
        Raises:
            DamagedShard: a block read for the first time is not what was written.
        """
        if len(self._ordered) == 1:
            return self._ordered[0].read(samples).astype(np.int32)
        tokens_BT = np.empty((len(samples), self.seq_len + 1), dtype=np.int32)
        sources, numbers = self._mixture.locate(samples)
        for source, reader in enumerate(self._ordered):
            rows = sources == source
            tokens_BT[rows] = reader.read(numbers[rows])
        return tokens_BT

    def places(self, samples: Int64s) -> list[Place]:
        """Return where samples lie, by their numbers in the run, (k,) int64."""
        sources, numbers = np.zeros_like(samples), samples
        if len(self._ordered) > 1:
            sources, numbers = self._mixture.locate(samples)
        found = []
        for sample, source, number in zip(samples.tolist(), sources.tolist(), numbers.tolist(), strict=True):
            reader = self._ordered[source]
            first = int(reader.places(np.array([number]))[0]) * self.seq_len
            found.append(Place(sample, list(self.sources)[source], number // reader.num_samples, first))
        return found

    def sources_of(self, samples: Int64s) -> Int64s:
        """Return (k,) int64, the number of the source of each sample, in the order of `sources`.

        Args:
            samples: (k,) int64 sample numbers of the run.
        """
        if len(self._ordered) == 1:
            return np.zeros_like(samples)
        return self._mixture.locate(samples)[0]

    def drawn(self, num_samples: int) -> dict[str, int]:
        """Return how many of the run's first `num_samples` samples come from each source."""
        if len(self._ordered) == 1:
            return dict.fromkeys(self.sources, num_samples)
        return dict(zip(self.sources, self._mixture.drawn(num_samples).tolist(), strict=True))

    def epochs(self, num_samples: int) -> dict[str, float]:
        """Return how many times each source has been read after the run's first `num_samples` samples."""
        return {name: count / self.sources[name].num_samples for name, count in self.drawn(num_samples).items()}


def _block_counts(weights: Mapping[str, float]) -> dict[str, int]:
    """Return source -> its samples in a block; none may have none."""
    counts = dict(zip(weights, block_counts(list(weights.values())).tolist(), strict=True))
    for name, count in counts.items():
        if count == 0:
            raise DataError(
                f"data.mixture.{name}: {weights[name]} of {sum(weights.values())} is less than one sample in "
                f"{BLOCK_SAMPLES:,}; raise it, or set it to 0 to leave the source out"
            )
    return counts


def _weights(shares: Mapping[str, Share], planned: Mapping[str, int] | None) -> dict[str, float]:
    """Return the weight of each source in use: as it was given, or its part of the planned samples."""
    if planned is not None:
        return {name: planned[name] for name in shares}
    weights = {name: share for name, share in shares.items() if not isinstance(share, dict)}
    assert len(weights) == len(shares), "budgets are a part of a run, which planned samples know"
    return weights
