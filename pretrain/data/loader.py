"""The loader: this rank's micro batches of any step, from token shards, a few steps read ahead.

Global batch s holds the sample numbers [s * B, (s + 1) * B). Its j-th micro batch goes to rank j % dp_size as that
rank's micro batch j // dp_size, so which samples make a step, and which of them share a micro batch, depends neither on
the number of ranks nor on the accumulation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import xxhash
from torch import Tensor

from data_pipeline.shards.budget import ALLOWED, is_budget, is_weight
from foundation.errors import require
from pretrain.data.dataset import Dataset, open_data
from pretrain.data.keys import sample_keys
from pretrain.data.origin import Place
from pretrain.data.prefetch import Prefetcher
from pretrain.data.samples import Samples
from pretrain.data.shares import budgets_of, drawn_in, planned_samples, require_few_epochs
from pretrain.mesh import Mesh
from pretrain.pieces import NONE
from pretrain.plan import Budgets, Plan
from pretrain.types import IGNORE, Batch

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _HostStep:
    """One rank's step: samples_AB (grad_accum_steps, micro_batch_size); tokens_ABT (.., .., seq_len + 1) int32.

    keys_AB are int64, one a sample; sources_AB likewise, None where all come from one. hashes has one a micro batch.
    """

    samples_AB: Int64s
    keys_AB: Tensor
    tokens_ABT: Tensor
    sources_AB: Tensor | None
    hashes: list[int]


class Shards:
    """A data folder and how it is read: what `data=` sets. Opened once, at first use; it makes the loader of a plan.

    Args:
        path: data folder, with manifest.json, tokenizer.json and shards/.
        mixture: source -> weight, or its budget, {"tokens": n} or {"epochs": n}, instead of the manifest's; sources
            that aren't named are left out.
        mask_after_eot: take the first token of each document out of the loss: before it stands another document.
        prefetch_steps: steps read ahead by a thread; 0 reads when asked.
        max_epochs_per_source: a run that would read a source more often is refused; None lets it.
        first_samples: read the first so many samples of the order alone, again and again: sample number n holds the
            tokens of number n % first_samples. None reads on.
        plain_pieces: as `Samples` takes it.
    Raises:
        SettingError: prefetch_steps is negative, max_epochs_per_source is not above 0, first_samples is below 1, or the
            mixture holds what is neither weight nor budget.
    """

    def __init__(
        self,
        path: str,
        mixture: dict[str, Any] | None = None,
        mask_after_eot: bool = False,
        prefetch_steps: int = 2,
        max_epochs_per_source: float | None = 4.0,
        first_samples: int | None = None,
        plain_pieces: frozenset[str] = NONE,
    ) -> None:
        require(prefetch_steps >= 0, "prefetch_steps", prefetch_steps, "0, for no thread, or more; 2 is enough")
        allowed = "a number above 0, or null for no limit"
        limit = max_epochs_per_source
        require(limit is None or 0 < limit < math.inf, "max_epochs_per_source", limit, allowed)
        allowed = "1 or more, or null for all of them"
        require(first_samples is None or first_samples >= 1, "first_samples", first_samples, allowed)
        for name, share in (mixture or {}).items():
            allowed = (
                f"a weight, a number of at least 0 of which only ratios count; or a budget, {ALLOWED}{_merged(share)}"
            )
            require(is_budget(share) or is_weight(share), f"mixture.{name}", share, allowed)
        self._path, self.mixture, self.max_epochs_per_source = path, mixture, limit
        self.mask_after_eot, self.prefetch_steps = mask_after_eot, prefetch_steps
        self.first_samples, self.plain_pieces = first_samples, plain_pieces

    @cached_property
    def dataset(self) -> Dataset:
        """The open data folder."""
        return open_data(self._path)

    def samples_per_epoch(self, seq_len: int) -> int:
        """Return how many samples of `seq_len` tokens one pass over what is read makes: the sources in use, or the
        first samples.

        Raises:
            DataError: as `Dataset.samples_per_epoch`.
        """
        of_all = self.dataset.samples_per_epoch(seq_len, self.mixture)
        return of_all if self.first_samples is None else self.first_samples

    def budgets(self, seq_len: int) -> Budgets | None:
        """Return what the sources' budgets bring to the length of a run; None where no source has one.

        Raises:
            DataError: as `budgets_of`.
        """
        return budgets_of(self.dataset, seq_len, self.mixture)

    def loader(self, plan: Plan, mesh: Mesh) -> ShardLoader:
        """Return what reads this rank's part of the plan."""
        return ShardLoader(self, plan, mesh)


class ShardLoader:
    """Gives the micro batches of a plan from the shards that `python -m data_pipeline` makes.

    Args:
        shards: what is read, and how; opened at first use.
        plan: batch arithmetic and the seed of the order.
        mesh: which micro batches are this rank's, and the device they go to.
    """

    def __init__(self, shards: Shards, plan: Plan, mesh: Mesh) -> None:
        self._shards, self._plan, self._mesh, self._device = shards, plan, mesh, mesh.device
        self._prefetcher = Prefetcher(self._read, shards.prefetch_steps)

    @property
    def dataset(self) -> Dataset:
        """The open data folder."""
        return self._shards.dataset

    @cached_property
    def planned(self) -> dict[str, int] | None:
        """Samples of the run from each source, where some have budgets; None where all have weights.

        Raises:
            DataError: as `planned_samples`.
        """
        return planned_samples(self.dataset, self._plan, self._shards.mixture)

    @cached_property
    def samples(self) -> Samples:
        """The samples of the run, by number.

        Raises:
            DataError: the mixture and the length of the run don't go together, or would read a source too often.
        """
        plan = self._plan
        shards = self._shards
        samples = Samples(self.dataset, plan.seq_len, plan.seed, shards.mixture, self.planned, shards.plain_pieces)
        if self._shards.first_samples is not None:
            return samples
        drawn = drawn_in(samples, plan, self.planned)
        require_few_epochs(self.dataset, plan, drawn, self._shards.max_epochs_per_source, self.planned is not None)
        return samples

    def micro_batches(self, data_step: int) -> list[Batch]:
        """Return this rank's grad_accum_steps micro batches of the global batch `data_step`, on the device.

        Raises:
            DataError: the folder or its sources can't serve this run. ShardError: they are damaged.
        """
        return self._batches(self._prefetcher.get(data_step))

    def first(self, count: int) -> Batch:
        """Return the run's first samples as one micro batch, with the keys of step 0; the same on every rank.

        Args:
            count: how many.
        Raises:
            DataError, ShardError: as `micro_batches`.
        """
        return self._batches(self._host_step(0, np.arange(count, dtype=np.int64)[None]))[0]

    def _batches(self, step: _HostStep) -> list[Batch]:
        """Return the micro batches of what was read, on the device."""
        tokens_ABT = step.tokens_ABT.to(self._device, non_blocking=True)
        # Widened on the device: int32 crosses the bus in half the time. Contiguous, because models flatten by view.
        inputs_ABT = tokens_ABT[..., :-1].to(torch.int64, memory_format=torch.contiguous_format)
        targets_ABT = tokens_ABT[..., 1:].to(torch.int64, memory_format=torch.contiguous_format)
        if self._shards.mask_after_eot:
            targets_ABT.masked_fill_(inputs_ABT == self.dataset.manifest.eot_id, IGNORE)
        keys_AB = step.keys_AB.to(self._device, non_blocking=True)
        sources_AB = (
            [None] * len(keys_AB) if step.sources_AB is None else step.sources_AB.to(self._device, non_blocking=True)
        )
        parts = (inputs_ABT, targets_ABT, step.samples_AB, keys_AB, sources_AB, step.hashes)
        return [Batch(*batch) for batch in zip(*parts, strict=True)]

    def targets_of(self, tokens_BT: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """Return (batch, seq_len) int32, the targets of (batch, seq_len + 1) tokens, on the host."""
        targets_BT = tokens_BT[:, 1:].copy()
        if self._shards.mask_after_eot:
            targets_BT[tokens_BT[:, :-1] == self.dataset.manifest.eot_id] = IGNORE
        return targets_BT

    def close(self) -> None:
        """Stop reading ahead."""
        self._prefetcher.close()

    def epochs_at(self, data_step: int) -> dict[str, float]:
        """Return how many times each source has been read when `data_step` global batches are done.

        Of the first samples, where they alone are read: how many times those of a source were.
        """
        num_samples, first = data_step * self._plan.global_batch_size, self._shards.first_samples
        if first is None:
            return self.samples.epochs(num_samples)
        return {name: num_samples / first if count else 0.0 for name, count in self.samples.drawn(first).items()}

    def epochs_of(self, samples: Int64s, places: list[Place]) -> list[int]:
        """Return in which epoch of its source each sample is read, from 1, as `epochs_at` counts them.

        Args:
            samples: (k,) int64 sample numbers of the run. places: where they lie, k of them.
        """
        if (first := self._shards.first_samples) is not None:
            return [epoch + 1 for epoch in (samples // first).tolist()]
        return [place.epoch + 1 for place in places]

    def identity(self) -> dict[str, Any]:
        """Return, as JSON values, what decides which tokens a step holds, besides plan and manifest.json.

        A resumed run compares them.
        """
        share = "samples_of_a_block" if self.planned is None else "samples_of_the_run"
        sources = {
            name: {
                share: self.samples.counts[name],
                "samples_per_epoch": source.num_samples,
                "tail_tokens": source.tail_tokens,
            }
            for name, source in self.samples.sources.items()
        }
        return {"mask_after_eot": self._shards.mask_after_eot, "sources": sources}

    def _read(self, data_step: int) -> _HostStep:
        return self._host_step(data_step, rank_samples(self._plan, self._mesh.dp_rank, data_step))

    def numbers_of(self, samples: Int64s) -> Int64s:
        """Return the places in the order of samples of the run, both (k,) int64; others where the first recur."""
        first = self._shards.first_samples
        return samples if first is None else samples % first

    def _host_step(self, data_step: int, samples_AB: Int64s) -> _HostStep:
        numbers = self.numbers_of(samples_AB.ravel())
        tokens_ABT = self.samples.read(numbers).reshape(*samples_AB.shape, -1)
        keys_AB = torch.from_numpy(sample_keys(self._plan.seed, data_step, samples_AB))
        sources_AB = None
        if len(self.samples.sources) > 1:
            sources_AB = self._pinned(torch.from_numpy(self.samples.sources_of(numbers).reshape(samples_AB.shape)))
        hashes = [hash_of_samples(*pair) for pair in zip(samples_AB, tokens_ABT, strict=True)]
        tokens = self._pinned(torch.from_numpy(tokens_ABT))
        return _HostStep(samples_AB, self._pinned(keys_AB), tokens, sources_AB, hashes)

    def _pinned(self, tokens: Tensor) -> Tensor:
        if self._device.type != "cuda":
            return tokens
        with torch.cuda.device(self._device):  # a new thread's device is GPU 0, and pinning would open a context there
            return tokens.pin_memory()


def _merged(share: Any) -> str:
    """Return how two units come to stand in one budget, and how one of them goes, where there are two."""
    if not isinstance(share, dict) or len(share) < 2:
        return ""
    return "; what is typed is merged into what was set before, which data.mixture=null in front of it takes out"


def hash_of_samples(samples_B: Int64s, tokens_BT: npt.NDArray[np.int32]) -> int:
    """Return the sum of the samples' hashes modulo 2^64: the same for any order of them and any split into parts.

    A sample's hash is the xxh3-64 of its tokens, seeded by its number. Equal sums of two global batches say that they
    held the same samples with the same tokens, but for one chance in 2^64; which are masked they don't say.

    Args:
        samples_B: (B,) int64 sample numbers. tokens_BT: (B, T) int32 token ids.
    """
    rows = zip(samples_B.tolist(), np.ascontiguousarray(tokens_BT), strict=True)
    return sum(xxhash.xxh3_64_intdigest(tokens_T, number % 2**64) for number, tokens_T in rows) % 2**64


def rank_samples(plan: Plan, dp_rank: int, data_step: int) -> Int64s:
    """Return (grad_accum_steps, micro_batch_size) int64, the sample numbers of one rank in one step.

    Args:
        plan: batch arithmetic.
        dp_rank: place on the data-parallel axis.
        data_step: number of the global batch.
    """
    micro_batches = np.arange(plan.grad_accum_steps, dtype=np.int64) * plan.dp_size + dp_rank
    first = data_step * plan.global_batch_size + micro_batches * plan.micro_batch_size
    return first[:, None] + np.arange(plan.micro_batch_size, dtype=np.int64)
