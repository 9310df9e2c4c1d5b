"""Numbers for what occurs in a text, in order of first occurrence: a hash table with open addressing, for kernels.

Two spans of bytes have one number only when their bytes are equal: a hash chooses what is compared, it decides nothing.
A text costs time in proportion to its bytes, as long as its spans don't collide in all 64 bits of their hashes: of a
million different spans any two do with a probability of 3e-8, and then one more comparison is made.

numba's cache on disk doesn't notice when a kernel of another file changes: after a change of one here, `make clean`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from data_pipeline.clean.chars import kernel

KEY_BYTES = 8  # of a word whose bytes are its key
FEWEST_SLOTS = 64
NUM_SLOTS, NUM_NUMBERS, NUM_PROBES = range(3)  # places in `Numbers.state`
KEY, START, STOP = range(3)  # columns of `Numbers.spans`
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, odd: Knuth, TAOCP 3, 6.4
_HALF = np.uint64(32)


class Numbers(NamedTuple):
    """A table, used for one text after the other. What is not touched of it takes no memory.

    Kernels take the arrays one by one: an attribute of a tuple costs an atomic count at each use.

    Attributes:
        slots: (power of two,) int32: a number + 1, or 0 where nothing lies; a text uses the first state[NUM_SLOTS].
        spans: (n, 3) int64: of each number the key, and where its first span begins and ends.
        state: (3,) int64: slots in use, numbers given, and probes since the table was made.
    """

    slots: np.ndarray
    spans: np.ndarray
    state: np.ndarray


def table_of(most: int) -> Numbers:
    """Return a table for texts of at most `most` different things."""
    slots = FEWEST_SLOTS
    while slots < 2 * most + 2:
        slots *= 2
    return Numbers(np.empty(slots, np.int32), np.empty((most, 3), np.int64), np.zeros(3, np.int64))


@kernel
def forget(slots: Any, state: Any, expected: int) -> None:
    """Empty a table for a text of about so many things; more are taken too."""
    size = FEWEST_SLOTS
    while size < 2 * expected and size < slots.size:
        size *= 2
    slots[:size] = 0
    state[NUM_SLOTS] = size
    state[NUM_NUMBERS] = 0


@kernel
def number_of_span(slots: Any, spans: Any, state: Any, data: Any, start: int, stop: int, key: Any) -> Any:
    """Return the number of data[start:stop]; a new one is the count of those before.

    Args:
        key: a hash of these bytes, 64 bits.
    """
    mask = state[NUM_SLOTS] - 1
    slot = _home(key) & mask
    while True:
        state[NUM_PROBES] += 1
        number = slots[slot] - 1
        if number < 0:
            return _add(slots, spans, state, slot, key, start, stop)
        if spans[number, KEY] == key and _equal(data, spans[number, START], spans[number, STOP], start, stop):
            return number
        slot = (slot + 1) & mask


@kernel
def number_of_word(slots: Any, spans: Any, state: Any, data: Any, start: int, stop: int, key: Any) -> Any:
    """Return the same of a word.

    Args:
        key: of a word of at most 8 bytes these bytes, which need no second look; of a longer one a hash.
    """
    mask = state[NUM_SLOTS] - 1
    slot = _home(key) & mask
    while True:
        state[NUM_PROBES] += 1
        number = slots[slot] - 1
        if number < 0:
            return _add(slots, spans, state, slot, key, start, stop)
        first, last = spans[number, START], spans[number, STOP]
        is_known = spans[number, KEY] == key and last - first == stop - start
        if is_known and (stop - start <= KEY_BYTES or _equal(data, first, last, start, stop)):
            return number
        slot = (slot + 1) & mask


@kernel
def number_of_key(slots: Any, spans: Any, state: Any, key: Any) -> Any:
    """Return the number of a key of 64 bits."""
    mask = state[NUM_SLOTS] - 1
    slot = _home(key) & mask
    while True:
        state[NUM_PROBES] += 1
        number = slots[slot] - 1
        if number < 0:
            return _add(slots, spans, state, slot, key, 0, 0)
        if spans[number, KEY] == key:
            return number
        slot = (slot + 1) & mask


@kernel
def _home(key: Any) -> Any:
    mixed = np.uint64(key)
    mixed = (mixed ^ (mixed >> _HALF)) * _GOLDEN
    mixed = (mixed ^ (mixed >> _HALF)) * _GOLDEN
    return np.int64(mixed >> _HALF)


@kernel
def _add(slots: Any, spans: Any, state: Any, slot: int, key: Any, start: int, stop: int) -> Any:
    number = state[NUM_NUMBERS]
    slots[slot] = number + 1
    spans[number, KEY], spans[number, START], spans[number, STOP] = key, start, stop
    state[NUM_NUMBERS] = number + 1
    if 2 * (number + 1) > state[NUM_SLOTS]:
        _grow(slots, spans, state)
    return number


@kernel
def _grow(slots: Any, spans: Any, state: Any) -> None:
    size = 2 * state[NUM_SLOTS]
    slots[:size] = 0
    state[NUM_SLOTS] = size
    for number in range(state[NUM_NUMBERS]):
        slot = _home(spans[number, KEY]) & (size - 1)
        while slots[slot]:
            slot = (slot + 1) & (size - 1)
            state[NUM_PROBES] += 1
        slots[slot] = number + 1


@kernel
def _equal(data: Any, first_start: int, first_stop: int, start: int, stop: int) -> bool:
    if first_stop - first_start != stop - start:
        return False
    place = 0
    while place < stop - start and data[first_start + place] == data[start + place]:
        place += 1
    return place == stop - start
