"""Numbers for what occurs in a text, in order of first occurrence: a hash table with open addressing, for kernels.

Two spans of bytes have one number only when their bytes are equal: a hash chooses what is compared, it decides nothing.
A text costs time in proportion to its bytes, as long as its spans don't collide in all 64 bits of their hashes: of a
million different spans any two do with a probability of 3e-8, and then one more comparison is made. The hashes are no
secret: who wants to can write a text whose spans collide, and make it slow.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from data_pipeline.clean.bounds import KEY_BYTES, same_bytes
from data_pipeline.compiled import kernel

FEWEST_SLOTS = 64
NUM_SLOTS, NUM_NUMBERS, NUM_PROBES = range(3)  # places in `Numbers.state`
STATE = 3  # place in `Numbers`
KEY, START, STOP = range(3)  # columns of `Numbers.spans`
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, odd: Knuth, TAOCP 3, 6.4
_HALF = np.uint64(32)


class Numbers(NamedTuple):
    """A table, used for one text after the other. What is not touched of it takes no memory.

    Attributes:
        slots: (power of two,) int32: a number + 1, or 0 where nothing lies; a text uses the first state[NUM_SLOTS].
        keys: (power of two,) int64: of what lies in a slot the key, beside the number: most differ already there.
        spans: (n, 3) int64: of each number the key, and where its first span begins and ends.
        state: (3,) int64: slots in use, numbers given, and probes since the table was made.
    """

    slots: np.ndarray
    keys: np.ndarray
    spans: np.ndarray
    state: np.ndarray


def table_of(most: int) -> Numbers:
    """Return a table for texts of at most `most` different things."""
    slots = FEWEST_SLOTS
    while slots < 2 * most + 2:
        slots *= 2
    arrays = np.empty(slots, np.int32), np.empty(slots, np.int64), np.empty((most, 3), np.int64)
    return Numbers(*arrays, np.zeros(3, np.int64))


@kernel
def forget(table: Any, expected: int) -> None:
    """Empty a table for a text of about so many things; more are taken too."""
    slots, _, _, state = table
    size = FEWEST_SLOTS
    while size < 2 * expected and size < slots.size:
        size *= 2
    slots[:size] = 0
    state[NUM_SLOTS] = size
    state[NUM_NUMBERS] = 0


@kernel
def number_of_span(table: Any, data: Any, start: int, stop: int, key: Any) -> Any:
    """Return the number of data[start:stop]; a new one is the count of those before.

    Args:
        key: a hash of these bytes, 64 bits.
    """
    slots, keys, spans, state = table
    mask = state[NUM_SLOTS] - 1
    slot = home(key) & mask
    while True:
        state[NUM_PROBES] += 1
        number = slots[slot] - 1
        if number < 0:
            return _add(table, slot, key, start, stop)
        if keys[slot] == key:
            first, last = spans[number, START], spans[number, STOP]
            if last - first == stop - start and same_bytes(data, first, start, stop - start):
                return number
        slot = (slot + 1) & mask


@kernel
def number_words(table: Any, data: Any, num: int, bounds: Any, keys: Any, numbers: Any, counts: Any) -> None:
    """Number the words of a text in turn.

    Args:
        bounds: (2 num, and more): where each begins and ends in `data`, as of `find_words`.
        keys: (num, and more) int64: as of `key_of_word`, of a longer word a hash.
        numbers: (num, and more) int32, filled.
        counts: filled with how often each number occurs.
    """
    slots, slot_keys, spans, state = table
    mask = state[NUM_SLOTS] - 1
    for word in range(num):
        key, start, stop = keys[word], bounds[2 * word], bounds[2 * word + 1]
        slot = home(key) & mask
        while True:
            state[NUM_PROBES] += 1
            number = slots[slot] - 1
            if number < 0:
                number = _add(table, slot, key, start, stop)
                counts[number] = 0
                mask = state[NUM_SLOTS] - 1
                break
            if slot_keys[slot] == key:
                first, size = spans[number, START], spans[number, STOP] - spans[number, START]
                if size == stop - start and (size <= KEY_BYTES or same_bytes(data, first, start, size)):
                    break
            slot = (slot + 1) & mask
        counts[number] += 1
        numbers[word] = number


@kernel
def number_keys(table: Any, num: int, keys: Any, numbers: Any, counts: Any) -> None:
    """Number keys of 64 bits in turn; arguments as of `number_words`."""
    slots, slot_keys, _, state = table
    mask = state[NUM_SLOTS] - 1
    for at in range(num):
        key = keys[at]
        slot = home(key) & mask
        while True:
            state[NUM_PROBES] += 1
            number = slots[slot] - 1
            if number < 0:
                number = _add(table, slot, key, 0, 0)
                counts[number] = 0
                mask = state[NUM_SLOTS] - 1
                break
            if slot_keys[slot] == key:
                break
            slot = (slot + 1) & mask
        counts[number] += 1
        numbers[at] = number


@kernel
def home(key: Any) -> Any:
    """Return a hash of a key of 64 bits: 32 bits, not negative."""
    mixed = np.uint64(key)
    mixed = (mixed ^ (mixed >> _HALF)) * _GOLDEN
    mixed = (mixed ^ (mixed >> _HALF)) * _GOLDEN
    return np.int64(mixed >> _HALF)


@kernel
def _add(table: Any, slot: int, key: Any, start: int, stop: int) -> Any:
    slots, keys, spans, state = table
    number = state[NUM_NUMBERS]
    slots[slot], keys[slot] = number + 1, key
    spans[number, KEY], spans[number, START], spans[number, STOP] = key, start, stop
    state[NUM_NUMBERS] = number + 1
    if 2 * (number + 1) > state[NUM_SLOTS]:
        _grow(table)
    return number


@kernel
def _grow(table: Any) -> None:
    slots, keys, spans, state = table
    size = 2 * state[NUM_SLOTS]
    slots[:size] = 0
    state[NUM_SLOTS] = size
    for number in range(state[NUM_NUMBERS]):
        key = spans[number, KEY]
        slot = home(key) & (size - 1)
        while slots[slot]:
            slot = (slot + 1) & (size - 1)
            state[NUM_PROBES] += 1
        slots[slot], keys[slot] = number + 1, key
