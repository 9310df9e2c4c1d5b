"""Byte-pair encoding: from counted pieces to the merges, and the vocabulary that they make."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from data_pipeline.shards.token_bytes import byte_chars
from data_pipeline.tokenize.counted import Counted
from data_pipeline.tokenize.errors import TokenizerError
from data_pipeline.tokenize.merge_kernels import (
    DONE,
    EXHAUSTED,
    FULL_ENTRIES,
    FULL_PAIRS,
    NUM_ENTRIES,
    NUM_IDS,
    NUM_PAIRS,
    NUM_PLACES,
    NUM_STATES,
    Queue,
    Step,
    Words,
    byte_pairs,
    list_byte_pairs,
    merge,
    pair_slot,
    push,
    rehash_pairs,
)
from foundation.progress import Meter

NUM_BYTE_TOKENS = 256
MOST = (1 << 31) - 1  # pieces, and bytes of one
_IDS_AT_A_TIME = 256  # between two looks at the progress


@dataclass(frozen=True, slots=True)
class Merges:
    """What training found. Ids begin with the bytes: the byte whose character comes first has id 0.

    Attributes:
        tokens: the bytes of each id.
        pairs: ids of those that were merged, in order: the first gives id 256.
    """

    tokens: list[bytes]
    pairs: list[tuple[int, int]]

    @classmethod
    def of(cls, pairs: Iterable[tuple[int, int]]) -> Merges:
        """Return the vocabulary that these pairs make."""
        tokens, pairs = [bytes([byte]) for byte in byte_order()], list(pairs)
        for left, right in pairs:
            tokens.append(tokens[left] + tokens[right])
        return cls(tokens, pairs)


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
        self._state[NUM_IDS] = NUM_BYTE_TOKENS
        self._pairs = np.zeros((self._num_ids, 2), np.int32)
        self._step = Step(
            notes=np.zeros((2, self._num_ids, 4), np.int64),
            touched=np.zeros((2, self._num_ids), np.int32),
            events=np.empty((len(self._words.ids), 2), np.int32),
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
                self._pairs,
                self._step,
                at,
                self._state,
            )
            meter.add(int(self._state[NUM_IDS]) - before)
            self._make_room(status)
        return Merges.of(map(tuple, self._pairs[NUM_BYTE_TOKENS : self._state[NUM_IDS]].tolist()))

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
            np.empty(3 * len(self._words.ids), np.int32),
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
        if status == FULL_PAIRS:
            before, self._table = self._table, np.zeros((2 * len(self._table), 2), np.uint64)
            rehash_pairs(before, self._table, self._keys)
        elif status == FULL_ENTRIES:
            queue = self._queue
            grown = {name: _longer(getattr(queue, name), len(queue.heap)) for name in Queue._fields[:-1]}
            self._queue = queue._replace(**grown)


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
    records = np.stack([counted.ends - sizes, sizes, counted.counts], axis=1)[chosen]
    return Words(ids[counted.data], records)


def _longer(array: np.ndarray, more: int) -> np.ndarray:
    longer = np.empty(len(array) + more, array.dtype)
    longer[: len(array)] = array
    return longer


def _power_of_two(least: int) -> int:
    return 1 << (least - 1).bit_length()


def merge_plainly(pieces: Mapping[bytes, int], num_tokens: int, min_frequency: int) -> Merges:
    """Return what `find_merges` does, all pairs counted anew for each merge (Sennrich, Haddow and Birch, ACL 2016)."""
    ids = {byte: number for number, byte in enumerate(byte_order())}
    words = [([ids[byte] for byte in piece], count) for piece, count in pieces.items()]
    found: list[tuple[int, int]] = []
    while NUM_BYTE_TOKENS + len(found) < num_tokens:
        counts: Counter[tuple[int, int]] = Counter()
        for word, count in words:
            for pair in pairwise(word):
                counts[pair] += count
        best = min(counts, key=lambda pair: (-counts[pair], pair), default=None)
        if best is None or counts[best] < min_frequency:
            break
        found.append(best)
        words = [(_merged_plainly(word, best, NUM_BYTE_TOKENS + len(found) - 1), count) for word, count in words]
    return Merges.of(found)


def _merged_plainly(word: list[int], pair: tuple[int, int], new: int) -> list[int]:
    merged: list[int] = []
    at = 0
    while at < len(word):
        is_pair = tuple(word[at : at + 2]) == pair
        merged.append(new if is_pair else word[at])
        at += 1 + is_pair
    return merged
