"""Which source each sample comes from: one precomputed block of samples, repeated, and what no block can hold.

Of weights, the block has 65,536 samples, their counts are the weights by largest remainder, and it is repeated for
ever. Of budgets, the run is cut into equal blocks, and each source has its budget to the sample: a block holds the same
whole part of every budget, and what is left of them is strung over the run, a few samples behind each block.

Tijdeman's rule orders a block, and what is left: after any number of samples each source is within one sample of its
share, hence within two over any window, also across the borders of blocks, because a whole block is exact. In a run of
budgets that is several blocks long, of k sources, it is within k + 3 samples: one of the block, one of what is left,
and at most k + 1 samples of what is left wait for the block's end.

Source: Tijdeman, The chairman assignment problem, Discrete Mathematics 32 (1980).
"""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from data_pipeline.shards.shares import largest_remainder

Int64s = npt.NDArray[np.int64]

BLOCK_SAMPLES = 1 << 16
MAX_BLOCK_SAMPLES = 1 << 18  # a block of so many is ordered in 0.3 s, which a run that goes on waits for


class Mixture:
    """Assigns sample numbers of the run to (source, sample number within the source), in O(1) each.

    Args:
        counts: one per source, samples of it in one period; behind its end, and before 0, the period is repeated.
        num_blocks: into which the period is cut, as equal as can be: block b begins at sample b * period // num_blocks.
    """

    def __init__(self, counts: Sequence[int], num_blocks: int = 1) -> None:
        self._counts = np.array(counts, dtype=np.int64)
        self._period, self._num_blocks = int(self._counts.sum()), num_blocks
        self._in_block, left = np.divmod(self._counts, num_blocks)
        self._block, self._left = _Ordered(self._in_block), _Ordered(left)
        firsts = np.arange(num_blocks) * self._period // num_blocks
        # (num_blocks,) samples, and (num_blocks, num_sources) of each source, of what is left before a block begins
        self._left_before = firsts - np.arange(num_blocks) * len(self._block.sources)
        self._left_of = self._left.drawn(self._left_before)

    @classmethod
    def of_weights(cls, weights: Sequence[float]) -> Mixture:
        """Return the mixture of weights, positive and finite, of which only the ratios count."""
        return cls(block_counts(weights).tolist())

    @classmethod
    def of_run(cls, counts: Sequence[int]) -> Mixture:
        """Return the mixture of a run that draws so many samples of each source: one block, or the fewest that do."""
        return cls(counts, -(-sum(counts) // MAX_BLOCK_SAMPLES))

    def locate(self, samples: Int64s) -> tuple[Int64s, Int64s]:
        """Return where samples come from.

        Args:
            samples: (k,) int64 sample numbers of the run, from 0.
        Returns:
            (k,) int64 index of the source, (k,) int64 sample number within that source, from 0 without a gap.
        """
        periods, blocks, places = self._split(samples)
        length = len(self._block.sources)
        sources, ranks = np.empty_like(samples), np.empty_like(samples)
        in_block = places < length
        sources[in_block], ranks[in_block] = self._block.at(places[in_block])
        ranks[in_block] += self._left_of[blocks[in_block], sources[in_block]]
        behind = ~in_block
        sources[behind], ranks[behind] = self._left.at((self._left_before[blocks] + places - length)[behind])
        ranks[behind] += self._in_block[sources[behind]]
        return sources, periods * self._counts[sources] + blocks * self._in_block[sources] + ranks

    def drawn(self, num_samples: int) -> Int64s:
        """Return (num_sources,) int64: how many of the run's first `num_samples` come from each source."""
        ((period,), (block,), (place,)) = self._split(np.array([num_samples]))
        in_block = min(place, len(self._block.sources))
        of_block = self._block.drawn(np.array([in_block]))[0]
        of_left = self._left.drawn(self._left_before[block : block + 1] + place - in_block)[0]
        return np.asarray(period * self._counts + block * self._in_block + of_block + of_left)

    def _split(self, samples: Int64s) -> tuple[Int64s, Int64s, Int64s]:
        """Return (k,) int64 each: number of the period, of the block within it, and of the sample within that."""
        periods, samples = np.divmod(samples, self._period)
        blocks = ((samples + 1) * self._num_blocks - 1) // self._period
        return periods, blocks, samples - blocks * self._period // self._num_blocks


class PlainMixture(Mixture):
    """The same, each sample by counting in lists: what stands before it in its block, and of what is left."""

    def __init__(self, counts: Sequence[int], num_blocks: int = 1) -> None:
        super().__init__(counts, num_blocks)
        self._block_list = chairman_plainly([count // num_blocks for count in counts])
        self._left_list = chairman_plainly([count % num_blocks for count in counts])

    def locate(self, samples: Int64s) -> tuple[Int64s, Int64s]:
        found = np.array([self._locate_one(sample) for sample in samples.tolist()], dtype=np.int64).reshape(-1, 2)
        return found[:, 0], found[:, 1]

    def drawn(self, num_samples: int) -> Int64s:
        period, block, inside, left = self._place_of(num_samples)
        begun, of_left = self._block_list[:inside], self._left_list[:left]
        drawn = [
            period * int(count) + block * self._block_list.count(source) + begun.count(source) + of_left.count(source)
            for source, count in enumerate(self._counts)
        ]
        return np.array(drawn, dtype=np.int64)

    def _place_of(self, sample: int) -> tuple[int, int, int, int]:
        """Return a sample's period, its block, its place in that, and how many of what is left came before it."""
        period, place = divmod(sample, self._period)
        firsts = [block * self._period // self._num_blocks for block in range(self._num_blocks)]
        block = bisect.bisect_right(firsts, place) - 1
        inside, length = place - firsts[block], len(self._block_list)
        return period, block, inside, firsts[block] - block * length + max(inside - length, 0)

    def _locate_one(self, sample: int) -> tuple[int, int]:
        period, block, inside, left = self._place_of(sample)
        if inside < len(self._block_list):
            source = self._block_list[inside]
            rank = block * self._block_list.count(source) + self._block_list[:inside].count(source)
        else:
            source = self._left_list[left]
            rank = (block + 1) * self._block_list.count(source)
        number = period * int(self._counts[source]) + rank + self._left_list[:left].count(source)
        return source, number


class _Ordered:
    """Samples of several sources, in the order of Tijdeman's rule.

    Args:
        counts: (num_sources,) int64, samples of each; none of any is nothing to order.
    Attributes:
        sources: (sum(counts),) int64 index of the source of each.
    """

    def __init__(self, counts: Int64s) -> None:
        self.sources = chairman_assignment(counts)
        self._places = [np.flatnonzero(self.sources == source) for source in range(len(counts))]
        self._ranks = _ranks(self.sources, len(counts))

    def at(self, places: Int64s) -> tuple[Int64s, Int64s]:
        """Return (k,) int64 source, and (k,) int64 number of earlier samples of it."""
        return self.sources[places], self._ranks[places]

    def drawn(self, numbers: Int64s) -> Int64s:
        """Return (k, num_sources) int64: how many of the first `numbers` come from each source."""
        return np.stack([np.searchsorted(places, numbers) for places in self._places], axis=1).astype(np.int64)


def block_counts(weights: Sequence[float]) -> Int64s:
    """Return (num_sources,) int64: samples of each source in a block of BLOCK_SAMPLES."""
    return largest_remainder(weights, BLOCK_SAMPLES)


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


def chairman_plainly(counts: Sequence[int]) -> list[int]:
    """Return what `chairman_assignment` returns, slot by slot: of the sources whose next may stand there, that which
    must be served first."""
    total, slack = sum(counts), 2 * len(counts) - 2
    served, sequence = [0] * len(counts), list[int]()
    for slot in range(1, total + 1):
        may: list[tuple[int, int]] = []
        for source, count in enumerate(counts):
            if served[source] == count:
                continue
            first = -(-total * (slack * served[source] + 1) // (slack * count)) if slack else 1
            last = total * (slack * (served[source] + 1) - 1) // (slack * count) + 1 if slack else total
            if first <= slot:
                may.append((last, source))
        source = min(may)[1]
        served[source] += 1
        sequence.append(source)
    return sequence


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
