"""Which source each sample comes from: one precomputed block of 65,536 samples, repeated for ever; of budgets, the run.

The counts of a block are the weights by largest remainder. Tijdeman's rule orders them: after any number of samples
each source is within one sample of its share, hence within two over any window, also across the borders of blocks,
because a whole block is exact.

Source: Tijdeman, The chairman assignment problem, Discrete Mathematics 32 (1980).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]

BLOCK_SAMPLES = 1 << 16
MAX_BLOCK_SAMPLES = 1 << 18  # a block of so many is ordered in 0.3 s, which a run that goes on waits for


class Mixture:
    """Assigns sample numbers of the run to (source, sample number within the source), in O(1) each.

    Args:
        weights: one per source, positive and finite; only their ratios count.
        block_samples: of the block that is repeated.
    """

    def __init__(self, weights: Sequence[float], block_samples: int = BLOCK_SAMPLES) -> None:
        self._block_samples = block_samples
        self.counts = largest_remainder(weights, block_samples)
        self._block = chairman_assignment(self.counts)
        self._positions = [np.flatnonzero(self._block == source) for source in range(len(weights))]
        self._ranks = _ranks(self._block, len(weights))

    def locate(self, samples: Int64s) -> tuple[Int64s, Int64s]:
        """Return where samples come from.

        Args:
            samples: (k,) int64 sample numbers of the run, from 0.
        Returns:
            (k,) int64 index of the source, (k,) int64 sample number within that source, from 0 without a gap.
        """
        blocks, positions = np.divmod(samples, self._block_samples)
        sources = self._block[positions]
        return sources, blocks * self.counts[sources] + self._ranks[positions]

    def drawn(self, num_samples: int) -> Int64s:
        """Return (num_sources,) int64: how many of the run's first `num_samples` come from each source."""
        blocks, rest = divmod(num_samples, self._block_samples)
        begun = [np.searchsorted(positions, rest) for positions in self._positions]
        return blocks * self.counts + np.array(begun, dtype=np.int64)


def run_block(num_samples: int) -> int:
    """Return the length of the block for a run of so many samples: all of it, or the fewest equal parts of one.

    In a run of one block every budget is met to the sample; in one of m blocks to m samples, one of MAX_BLOCK_SAMPLES.
    """
    return -(-num_samples // -(-num_samples // MAX_BLOCK_SAMPLES))


def largest_remainder(weights: Sequence[float], total: int) -> Int64s:
    """Return (k,) int64 counts that sum to `total`, each within one of its share; ties go to the first.

    Exact: floats are fractions, and no rounding decides a remainder.
    """
    assert all(math.isfinite(weight) and weight > 0 for weight in weights), weights
    exact = [Fraction(weight) for weight in weights]
    shares = [total * weight / sum(exact) for weight in exact]
    counts = [math.floor(share) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda source: (counts[source] - shares[source], source))
    for source in by_remainder[: total - sum(counts)]:
        counts[source] += 1
    return np.array(counts, dtype=np.int64)


def chairman_assignment(counts: Int64s) -> Int64s:
    """Return a sequence that holds source i counts[i] times and at every prefix is within one sample of its share.

    With k sources and total M, Tijdeman's bound 1 - 1 / (2k - 2) says from which slot on the j-th sample of a source
    may stand and by which it must; serving the earliest deadline among those that may keeps every one of them.

    Args:
        counts: (k,) int64, samples of each source.
    Returns:
        (sum(counts),) int64 source indices.
    """
    total, slack = int(counts.sum()), 2 * len(counts) - 2
    if slack == 0:
        return np.zeros(total, dtype=np.int64)
    sources = np.repeat(np.arange(len(counts)), counts)
    ordinals = _ranks(sources, len(counts))
    first = -(-total * (slack * ordinals + 1) // (slack * counts[sources]))
    last = total * (slack * (ordinals + 1) - 1) // (slack * counts[sources]) + 1
    return _earliest_deadline_first(sources, first, last)


def _earliest_deadline_first(sources: Int64s, first: Int64s, last: Int64s) -> Int64s:
    """Return the source served in each slot 1..n; a sample waits from slot `first` on and is served by slot `last`."""
    order = np.argsort(first, kind="stable")
    waiting: list[tuple[int, int]] = []
    arriving = zip(first[order].tolist(), last[order].tolist(), sources[order].tolist(), strict=True)
    arrival = next(arriving, None)
    served = []
    for slot in range(1, len(sources) + 1):
        while arrival is not None and arrival[0] <= slot:
            heapq.heappush(waiting, arrival[1:])
            arrival = next(arriving, None)
        deadline, source = heapq.heappop(waiting)
        assert deadline >= slot, (deadline, slot, source)
        served.append(source)
    return np.array(served, dtype=np.int64)


def _ranks(sources: Int64s, num_sources: int) -> Int64s:
    """Return for each position how many earlier positions hold the same source."""
    ranks = np.empty(len(sources), dtype=np.int64)
    for source in range(num_sources):
        mine = np.flatnonzero(sources == source)
        ranks[mine] = np.arange(len(mine))
    return ranks
