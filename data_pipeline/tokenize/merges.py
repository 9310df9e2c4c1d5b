"""Byte-pair encoding: from counted pieces to the merges, and the vocabulary that they make."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from data_pipeline.tokenize.counted import Counted
from data_pipeline.tokenize.errors import TokenizerError
from data_pipeline.tokenize.merge_kernels import (
    DONE,
    EXHAUSTED,
    FULL_BYTES,
    FULL_ENTRIES,
    FULL_MERGES,
    FULL_PAIRS,
    NEEDED,
    NUM_BYTES,
    NUM_ENTRIES,
    NUM_IDS,
    NUM_MERGES,
    NUM_PAIRS,
    NUM_PLACES,
    NUM_STATES,
    Queue,
    Step,
    Tokens,
    Words,
    byte_pairs,
    compact,
    list_byte_pairs,
    merge,
    pair_slot,
    push,
    rehash_pairs,
)
from data_pipeline.tokenize.split import byte_chars
from foundation.progress import Meter

NUM_BYTE_TOKENS = 256
MOST = (1 << 31) - 1  # pieces, and bytes of one
_IDS_AT_A_TIME = 256  # between two looks at the progress
_FIRST_ROOM = 1 << 12


@dataclass(frozen=True, slots=True)
class Merges:
    """What training found. Ids begin with the bytes: the byte whose character comes first has id 0.

    Attributes:
        tokens: the bytes of each id.
        pairs: ids of the pairs, in the order in which an encoder merges them.
    """

    tokens: list[bytes]
    pairs: list[tuple[int, int]]


def byte_order() -> list[int]:
    """Return the bytes in the order of their characters: that of their ids."""
    chars = byte_chars()
    return sorted(range(NUM_BYTE_TOKENS), key=lambda byte: chars[byte])


def find_merges(counted: Counted, num_tokens: int, min_frequency: int, meter: Meter) -> Merges:
    """Merge the most frequent pairs of tokens until there are so many tokens, or no pair is frequent enough.

    Args:
        counted: the distinct pieces of a text; no pair is merged across two of them.
        num_tokens: the 256 bytes among them.
        min_frequency: occurrences that a pair needs.
        meter: counts tokens.
    Raises:
        TokenizerError: there are more pieces, or larger ones, than 31 bits count, or more pairs than 63 bits do.
    """
    return _Merging(counted, num_tokens).run(min_frequency, meter)


class _Merging:
    """The arrays of the kernels, made larger as they fill up."""

    def __init__(self, counted: Counted, num_tokens: int) -> None:
        self._words = _words(counted)
        num_ids = min(num_tokens, NUM_BYTE_TOKENS + len(self._words.ids))  # each merge takes a symbol
        self._num_ids = max(num_ids, NUM_BYTE_TOKENS)
        self._keys = np.array([secrets.randbits(64), secrets.randbits(64) | 1], np.uint64)
        self._state = np.zeros(NUM_STATES, np.int64)
        self._state[[NUM_IDS, NUM_BYTES]] = NUM_BYTE_TOKENS
        self._table = np.zeros((4 * self._num_ids, 2), np.uint64)
        self._tokens = _byte_tokens(self._num_ids)
        shape = (2, self._num_ids)
        self._step = Step(
            *(np.zeros(shape, np.int64) for _ in range(3)), np.zeros(shape, np.int32), np.zeros((0, 2), np.int32)
        )
        self._queue = self._first_queue()

    def run(self, min_frequency: int, meter: Meter) -> Merges:
        status, at = DONE, np.zeros(3, np.int64)
        while status != EXHAUSTED and self._state[NUM_IDS] < self._num_ids:
            before = int(self._state[NUM_IDS])
            status = merge(
                min(before + _IDS_AT_A_TIME, self._num_ids),
                min_frequency,
                self._words,
                self._table,
                self._keys,
                self._queue,
                self._tokens,
                self._step,
                at,
                self._state,
            )
            meter.add(int(self._state[NUM_IDS]) - before)
            self._make_room(status)
        return self._found()

    def _found(self) -> Merges:
        num_ids, num_merges = int(self._state[NUM_IDS]), int(self._state[NUM_MERGES])
        data, starts = self._tokens.data.tobytes(), self._tokens.starts[: num_ids + 1].tolist()
        pairs = zip(self._tokens.lefts[:num_merges].tolist(), self._tokens.rights[:num_merges].tolist(), strict=True)
        return Merges([data[start:stop] for start, stop in pairwise(starts)], last_of_each(pairs))

    def _first_queue(self) -> Queue:
        """Return the queue with the pairs of bytes, which are put into the table, too."""
        counts, sizes, last = np.zeros((3, NUM_BYTE_TOKENS, NUM_BYTE_TOKENS), np.int64)
        byte_pairs(self._words, counts, sizes, last)
        lefts, rights = np.nonzero(counts)
        room = 4 * max(len(lefts), self._num_ids)
        entries = len(lefts)
        starts = np.zeros_like(sizes)
        starts[lefts, rights] = np.cumsum(sizes[lefts, rights]) - sizes[lefts, rights]
        queue = Queue(
            np.empty(room, np.int64),
            np.empty(room, np.int64),
            np.empty(room, np.uint64),
            np.empty(room, np.int64),
            np.empty(room, np.int64),
            np.empty(2 * int(sizes.sum()), np.int32),
        )
        queue.counts[:entries], queue.sizes[:entries] = counts[lefts, rights], sizes[lefts, rights]
        queue.starts[:entries] = starts[lefts, rights]
        queue.pairs[:entries] = lefts.astype(np.uint64) << np.uint64(32) | rights.astype(np.uint64)
        last[:] = 0
        list_byte_pairs(self._words, starts, last, queue.places)
        self._state[[NUM_ENTRIES, NUM_PAIRS, NUM_PLACES]] = entries, entries, sizes.sum()
        self._table = np.zeros((_power_of_two(4 * room), 2), np.uint64)
        for entry in range(entries):
            slot = pair_slot(queue.pairs[entry], self._table, self._keys)
            self._table[slot] = int(queue.pairs[entry]) + 1, queue.counts[entry]
            push(queue, entry, self._state)
        return queue

    def _make_room(self, status: int) -> None:
        """Make what is full larger."""
        if status in (DONE, EXHAUSTED):
            return
        needed, tokens, queue = int(self._state[NEEDED]), self._tokens, self._queue
        if status == FULL_PAIRS:
            before, self._table = self._table, np.zeros((2 * len(self._table), 2), np.uint64)
            rehash_pairs(before, self._table, self._keys)
        elif status == FULL_ENTRIES:
            self._queue = Queue(*(_longer(each, len(each)) for each in queue[:-1]), queue.places)
        elif status == FULL_MERGES:
            grown = (_longer(each, max(len(each), _FIRST_ROOM)) for each in (tokens.lefts, tokens.rights))
            self._tokens = Tokens(*tokens[:3], *grown)
        elif status == FULL_BYTES:
            self._tokens = tokens._replace(data=_longer(tokens.data, len(tokens.data) + needed))
        else:
            self._make_places(needed)

    def _make_places(self, needed: int) -> None:
        if needed > len(self._step.events):
            self._step = self._step._replace(events=np.empty((2 * needed, 2), np.int32))
        places = self._queue.places
        compact(self._queue, self._state)
        if 2 * (int(self._state[NUM_PLACES]) + needed) > len(places):  # else it would soon be full again
            self._queue = self._queue._replace(places=_longer(places, len(places) + 2 * needed))


def last_of_each(pairs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the pairs, of those that were merged more than once the last: an encoder has one rank for each."""
    ranks = {pair: rank for rank, pair in enumerate(pairs)}
    return sorted(ranks, key=ranks.__getitem__)


def _words(counted: Counted) -> Words:
    """Return the pieces that have a pair."""
    sizes = np.diff(counted.ends, prepend=0)
    chosen = np.flatnonzero(sizes > 1)
    if len(chosen) > MOST or int(sizes.max(initial=0)) > MOST:
        raise TokenizerError(
            f"tokenizer.sample_bytes: {len(chosen):,} distinct pieces of text, the longest of {sizes.max():,} bytes; "
            f"up to {MOST:,} of each can be trained on; set a smaller sample"
        )
    if float((counted.counts.astype(np.float64) * sizes).sum()) >= 2.0**62:
        raise TokenizerError("tokenizer.sample_bytes: the sample has more pairs than 63 bits count; set a smaller one")
    ids = np.empty(NUM_BYTE_TOKENS, np.int32)
    ids[byte_order()] = np.arange(NUM_BYTE_TOKENS)
    starts = (counted.ends - sizes)[chosen]
    return Words(ids[counted.data], starts, sizes[chosen].astype(np.int32), np.array(counted.counts[chosen]))


def _byte_tokens(num_ids: int) -> Tokens:
    """Return the vocabulary of the bytes, with room for others. They are not in `slots`: no merge makes one."""
    data = np.zeros(NUM_BYTE_TOKENS + _FIRST_ROOM, np.uint8)
    data[:NUM_BYTE_TOKENS] = byte_order()
    starts = np.zeros(num_ids + 1, np.int64)
    starts[: NUM_BYTE_TOKENS + 1] = np.arange(NUM_BYTE_TOKENS + 1)
    slots = np.zeros(_power_of_two(2 * num_ids), np.int32)
    return Tokens(data, starts, slots, np.zeros(0, np.int32), np.zeros(0, np.int32))


def _longer(array: np.ndarray, more: int) -> np.ndarray:
    longer = np.empty(len(array) + more, array.dtype)
    longer[: len(array)] = array
    return longer


def _power_of_two(least: int) -> int:
    return 1 << (least - 1).bit_length()
