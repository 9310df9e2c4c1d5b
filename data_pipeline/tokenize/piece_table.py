"""How often each piece of text occurs: an open-addressing table over bytes, in bounded memory, with 64-bit counts.

Pieces of up to seven bytes, most of a text, are numbers, and their count stands beside them. Longer ones lie end to end
in an array of bytes. Slots are chosen by a hash with keys drawn anew for each table: a text can't be written that makes
it slow. The order in it says nothing, so what comes out is sorted.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from data_pipeline.documents import utf8_buffers
from data_pipeline.tokenize.counted import Counted
from data_pipeline.tokenize.split import NUMBERS, SplitName
from data_pipeline.tokenize.table_kernels import (
    FULL_LONG,
    FULL_SHORT,
    NUM_BYTES,
    NUM_LONG,
    NUM_SHORT,
    NUM_STATES,
    PIECE_END,
    PLACE,
    TEXT,
    Arrays,
    add_counted,
    count_pieces,
    first_words,
    rehash_long,
    rehash_short,
    sort_ties,
    write_long,
    write_short,
)

_PLACES = [TEXT, PLACE, PIECE_END]  # in the state: where to go on from
_FIRST_SLOTS = 1 << 12
_FIRST_BYTES = 1 << 16


class PieceTable:
    """Counts pieces until its memory is used up; then they are taken out, sorted, and it goes on empty.

    Args:
        memory_bytes: that its arrays may take; a single piece that is larger is taken all the same.
    """

    def __init__(self, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        self._clear()

    def __len__(self) -> int:
        return int(self._arrays.state[NUM_SHORT] + self._arrays.state[NUM_LONG])

    @property
    def num_bytes(self) -> int:
        """The bytes of its arrays."""
        return sum(array.nbytes for array in self._arrays)

    def count(
        self, texts: pa.LargeStringArray, split: SplitName, classes: np.ndarray, max_bytes: int = 0
    ) -> Iterator[Counted]:
        """Count the pieces of texts; the caller goes through what it yields, and calls `take` for the rest.

        Args:
            texts: without nulls.
            classes: as of `char_classes`.
            max_bytes: longer pieces are cut after so many; 0 for no limit.
        Yields:
            What had to be taken out on the way, so that the memory sufficed.
        """
        data, offsets = utf8_buffers(texts)
        most = max_bytes or int(np.diff(offsets).max(initial=0))
        self._arrays.state[_PLACES] = 0
        while status := count_pieces(data, offsets, NUMBERS[split], classes, most, self._arrays):
            text, place, end = self._arrays.state[_PLACES].tolist()
            yield from self._make_room(status, min(end - place - int(offsets[text]), most))

    def add(self, counted: Counted) -> Iterator[Counted]:
        """Add what was counted elsewhere; yields as `count`."""
        sizes = np.diff(counted.ends, prepend=0)
        self._arrays.state[_PLACES] = 0
        data = counted.data.view()
        data.flags.writeable = False  # as those of texts: kernels are compiled for each kind
        while status := add_counted(data, counted.ends, counted.counts, self._arrays):
            yield from self._make_room(status, int(sizes[self._arrays.state[TEXT]]))

    def take(self) -> Counted:
        """Return the pieces, sorted, and forget them."""
        arrays, state = self._arrays, self._arrays.state
        short = arrays.short[arrays.short[:, 0] != 0]
        short = short[np.argsort(short[:, 0])]
        starts, counts = arrays.starts[: state[NUM_LONG] + 1], arrays.counts[: state[NUM_LONG]]
        words = np.empty(len(counts), np.uint64)
        first_words(arrays.data, starts, words)
        order = np.argsort(words, kind="stable").astype(np.int64)
        sort_ties(arrays.data, starts, words, order, np.empty_like(order))
        short_bytes = int((short[:, 0] >> np.uint64(56)).sum())
        out = Counted.empty(len(self), short_bytes + int(state[NUM_BYTES]))
        out.counts[: len(short)] = short[:, 1]
        write_short(np.ascontiguousarray(short[:, 0]), out.data, out.ends)
        write_long(arrays.data, starts, counts, order, (*out, len(short), short_bytes))
        self._clear()
        return out

    def _clear(self) -> None:
        self._arrays = Arrays(
            short=np.zeros((_FIRST_SLOTS, 2), np.uint64),
            long=np.zeros((_FIRST_SLOTS, 2), np.uint64),
            data=np.empty(_FIRST_BYTES, np.uint8),
            starts=np.zeros(_FIRST_SLOTS // 2 + 1, np.int64),
            counts=np.empty(_FIRST_SLOTS // 2, np.int64),
            keys=np.array([secrets.randbits(64), secrets.randbits(64) | 1], np.uint64),
            state=np.zeros(NUM_STATES, np.int64),
        )

    def _make_room(self, status: int, size: int) -> list[Counted]:
        """Make what is full twice as large, or take everything out where that would be too much.

        Args:
            size: bytes of the piece that found no room; there is some for it in any case.
        """
        grown = self._grown(status, size)
        if len(self) and self.num_bytes + sum(array.nbytes for array in grown.values()) > self._memory_bytes:
            place = self._arrays.state[_PLACES]
            taken = self.take()
            self._arrays.state[_PLACES] = place
            return [taken]
        before, self._arrays = self._arrays, self._arrays._replace(**grown)
        if status == FULL_SHORT:
            rehash_short(before.short, self._arrays.short, before.keys)
        elif status == FULL_LONG:
            rehash_long(before.long, self._arrays.long)
            self._arrays.starts[: len(before.starts)] = before.starts
            self._arrays.counts[: len(before.counts)] = before.counts
        else:
            self._arrays.data[: len(before.data)] = before.data
        return []

    def _grown(self, status: int, size: int) -> dict[str, np.ndarray]:
        arrays = self._arrays
        if status == FULL_SHORT:
            return {"short": np.zeros((2 * len(arrays.short), 2), np.uint64)}
        if status == FULL_LONG:
            slots = 2 * len(arrays.long)
            return {
                "long": np.zeros((slots, 2), np.uint64),
                "starts": np.zeros(slots // 2 + 1, np.int64),
                "counts": np.empty(slots // 2, np.int64),
            }
        return {"data": np.empty(max(2 * len(arrays.data), len(arrays.data) + size), np.uint8)}
