"""The kernels of `PieceTable`: find a piece's count and add to it; say what is full before anything is lost."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from data_pipeline.compiled import kernel
from data_pipeline.tokenize.byte_kernels import compare_bytes, copy_bytes, folded_product, hash_bytes, word_at
from data_pipeline.tokenize.split_kernels import piece_end

SHORT_BYTES = 7  # a piece of so many, and its length, are one number
_LENGTH_AT = 56  # the bit of that number where the length begins
DONE, FULL_SHORT, FULL_LONG, FULL_BYTES = 0, 1, 2, 3  # what a kernel returns
NUM_SHORT, NUM_LONG, NUM_BYTES, TEXT, PLACE, PIECE_END = 0, 1, 2, 3, 4, 5  # in Arrays.state
NUM_STATES = 6


class Arrays(NamedTuple):
    """What a table is made of.

    Attributes:
        short: (slots, 2) uint64: a piece as a number, 0 where there is none, and its count.
        long: (slots, 2) uint64: a piece's hash, and one more than its place among the long ones, 0 where there is none.
        data: (bytes,) uint8, the long pieces end to end.
        starts: (room for long pieces + 1,) int64 into it.
        counts: (room for long pieces,) int64.
        keys: (2,) uint64 of the hash.
        state: (NUM_STATES,) int64: the pieces and bytes that there are; the text to go on from, the place in it,
            and the end of the piece that it is in, in `data`.
    """

    short: np.ndarray
    long: np.ndarray
    data: np.ndarray
    starts: np.ndarray
    counts: np.ndarray
    keys: np.ndarray
    state: np.ndarray


@kernel
def count_pieces(data: Any, offsets: Any, split: int, classes: Any, max_bytes: int, table: Any) -> int:
    """Count the pieces of texts, from the place in `state` on; return DONE, or what is full: then go on with more room.

    Args:
        data, offsets: as of `utf8_buffers`.
        split, classes: as of `piece_end`.
        max_bytes: longer pieces are cut after so many.
    """
    while table.state[TEXT] < offsets.size - 1:
        begin, stop = offsets[table.state[TEXT]], offsets[table.state[TEXT] + 1]
        place, end = begin + table.state[PLACE], table.state[PIECE_END]
        while place < stop:
            if end <= place:
                end = piece_end(data, place, stop, split, classes)
            cut = min(end, place + max_bytes)
            status = _add(data, place, cut, np.uint64(1), table)
            if status != DONE:
                table.state[PLACE], table.state[PIECE_END] = place - begin, end
                return status
            place = cut
        table.state[TEXT] += 1
        table.state[PLACE], table.state[PIECE_END] = 0, 0
    return DONE


@kernel
def add_counted(data: Any, ends: Any, counts: Any, table: Any) -> int:
    """Add pieces that were counted elsewhere, from the one whose number is in `state` on; return as `count_pieces`."""
    while table.state[TEXT] < ends.size:
        number = table.state[TEXT]
        start = ends[number - 1] if number else 0
        status = _add(data, start, ends[number], np.uint64(counts[number]), table)
        if status != DONE:
            return status
        table.state[TEXT] += 1
    return DONE


@kernel
def _add(data: Any, start: int, stop: int, count: Any, table: Any) -> int:
    if stop - start <= SHORT_BYTES:
        return _add_short(short_key(data, start, stop), count, table)
    return _add_long(data, start, stop, count, table)


@kernel
def short_key(data: Any, start: int, stop: int) -> Any:
    """Return a piece of at most SHORT_BYTES as a number, uint64, which is not 0."""
    return word_at(data, start, stop - start) | np.uint64(stop - start) << np.uint64(_LENGTH_AT)


@kernel
def _short_slot(key: Any, short: Any, keys: Any) -> Any:
    """Return the slot that holds a number, or the one for it."""
    last = short.shape[0] - 1
    slot = np.int64(folded_product(key ^ keys[0], keys[1])) & last
    while short[slot, 0] != key and short[slot, 0] != 0:
        slot = (slot + 1) & last
    return slot


@kernel
def _add_short(key: Any, count: Any, table: Any) -> int:
    slot = _short_slot(key, table.short, table.keys)
    if table.short[slot, 0] == 0:
        if 2 * table.state[NUM_SHORT] >= table.short.shape[0]:
            return FULL_SHORT
        table.short[slot, 0] = key
        table.state[NUM_SHORT] += 1
    table.short[slot, 1] += count
    return DONE


@kernel
def _add_long(data: Any, start: int, stop: int, count: Any, table: Any) -> int:
    hashed = hash_bytes(data, start, stop, table.keys[0], table.keys[1])
    last = table.long.shape[0] - 1
    slot = np.int64(hashed) & last
    while table.long[slot, 1] != 0:
        if table.long[slot, 0] == hashed:
            entry = np.int64(table.long[slot, 1]) - 1
            begin, size = table.starts[entry], table.starts[entry + 1] - table.starts[entry]
            if compare_bytes(data, start, stop - start, table.data, begin, size) == 0:
                table.counts[entry] += np.int64(count)
                return DONE
        slot = (slot + 1) & last
    entry, size = table.state[NUM_LONG], stop - start
    if 2 * entry >= table.long.shape[0] or entry == table.counts.size:
        return FULL_LONG
    if table.state[NUM_BYTES] + size > table.data.size:
        return FULL_BYTES
    copy_bytes(data, start, size, table.data, table.state[NUM_BYTES])
    table.state[NUM_BYTES] += size
    table.state[NUM_LONG] += 1
    table.starts[entry + 1] = table.state[NUM_BYTES]
    table.counts[entry] = np.int64(count)
    table.long[slot, 0], table.long[slot, 1] = hashed, np.uint64(entry + 1)
    return DONE


@kernel
def rehash_short(before: Any, short: Any, keys: Any) -> None:
    """Put the pieces of a table into a larger one, (slots, 2) uint64 both."""
    for number in range(before.shape[0]):
        key = before[number, 0]
        if key != 0:
            slot = _short_slot(key, short, keys)
            short[slot, 0], short[slot, 1] = key, before[number, 1]


@kernel
def rehash_long(before: Any, long: Any) -> None:
    """Put the places of long pieces into a larger table, (slots, 2) uint64 both."""
    last = long.shape[0] - 1
    for number in range(before.shape[0]):
        if before[number, 1] != 0:
            slot = np.int64(before[number, 0]) & last
            while long[slot, 1] != 0:
                slot = (slot + 1) & last
            long[slot, 0], long[slot, 1] = before[number, 0], before[number, 1]


@kernel
def write_short(keys: Any, data: Any, ends: Any) -> int:
    """Write short pieces end to end into `data`; return their bytes. keys: (n,) uint64; ends: (n, and more) int64."""
    at = 0
    for number in range(keys.size):
        for byte in range(np.int64(keys[number] >> np.uint64(_LENGTH_AT))):
            data[at] = np.uint8(keys[number] >> np.uint64(8 * byte) & np.uint64(0xFF))
            at += 1
        ends[number] = at
    return at


@kernel
def first_words(data: Any, starts: Any, words: Any) -> None:
    """Fill `words`, (n,) uint64, with the first eight bytes of long pieces."""
    for number in range(words.size):
        words[number] = word_at(data, starts[number], min(starts[number + 1] - starts[number], 8))


@kernel
def sort_ties(data: Any, starts: Any, words: Any, order: Any, room: Any) -> None:
    """Sort long pieces that are in the order of their first words: those of equal ones among each other.

    Args:
        words: as of `first_words`; order: (n,) int64 places, changed; room: (n,) int64.
    """
    start = 0
    for stop in range(1, order.size + 1):
        if stop == order.size or words[order[stop]] != words[order[start]]:
            _merge_sort(data, starts, order[start:stop], room)
            start = stop


@kernel
def _merge_sort(data: Any, starts: Any, order: Any, room: Any) -> None:
    width = 1
    while width < order.size:
        for start in range(0, order.size, 2 * width):
            _merge_runs(data, starts, order[start : start + 2 * width], width, room)
        width *= 2


@kernel
def _merge_runs(data: Any, starts: Any, order: Any, middle: int, room: Any) -> None:
    """Merge two sorted runs that lie one behind the other, the second at `middle`."""
    first, second = 0, min(middle, order.size)
    for at in range(order.size):
        if second == order.size or (first < middle and _comes_first(data, starts, order[first], order[second])):
            room[at] = order[first]
            first += 1
        else:
            room[at] = order[second]
            second += 1
    for at in range(order.size):
        order[at] = room[at]


@kernel
def _comes_first(data: Any, starts: Any, one: int, other: int) -> bool:
    size, other_size = starts[one + 1] - starts[one], starts[other + 1] - starts[other]
    return bool(compare_bytes(data, starts[one], size, data, starts[other], other_size) <= 0)


@kernel
def write_long(data: Any, starts: Any, counts: Any, order: Any, out: Any) -> None:
    """Write long pieces in this order behind what is in `out`: its data, ends and counts, and how many there are of
    pieces and bytes."""
    at, written = out[3], out[4]
    for number in range(order.size):
        entry = order[number]
        size = starts[entry + 1] - starts[entry]
        copy_bytes(data, starts[entry], size, out[0], written)
        written += size
        out[1][at], out[2][at] = written, counts[entry]
        at += 1
