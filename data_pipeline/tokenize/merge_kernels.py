"""The merges of byte-pair encoding, equal in order to those of tokenizers' BpeTrainer, with 64-bit counts.

A queue holds the pairs by count, the larger first, then by ids, the smaller first. Its counts are those of the time of
entry: the first one's is compared with the true one when its turn comes, and it is put back where they differ. A pair
is looked for in those words alone in which it came to be.

That trainer (models/bpe/trainer.rs of tokenizers 0.23) knows more cases, none of which can come up where all that is
merged began as bytes. A token's text can't be made in two ways, say `abc` from `a` and `bc` and then from `ab` and `c`:
no merge before crossed the borders of that text, so inside of it all went as it goes where the text stands alone, which
is one way. So a token is made in one step, wherever it can be; a pair is new in one step, has one entry, is in no word
any more once it is merged, and does not come back: that a merged pair's count is not cleared never shows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from data_pipeline.compiled import kernel
from data_pipeline.tokenize.byte_kernels import folded_product

NUM_IDS, NUM_PAIRS, NUM_ENTRIES, QUEUED, NUM_PLACES = 0, 1, 2, 3, 4  # in state
NUM_STATES = 5
# what `merge` returns: at the number of ids asked for; no more pair that is frequent enough; what is full
DONE, EXHAUSTED, FULL_PAIRS, FULL_ENTRIES = 0, 1, 2, 3
START, LENGTH, COUNT = 0, 1, 2  # in Words.records
DELTA, SIZE, LAST, ENTRY = 0, 1, 2, 3  # in Step.notes
_HALF = np.uint64(32)
_NONE = -1
_ANY, _NEVER = -(1 << 62), 1 << 62  # a least count that any has, and that none has


class Words(NamedTuple):
    """The distinct pieces as tokens. Ids are those of a vocabulary that begins with the 256 bytes.

    Attributes:
        ids: (symbols,) int32, end to end.
        records: (words, 3) int64: where a word begins in `ids`, how many of these are its own still, how often it
            occurs.
    """

    ids: np.ndarray
    records: np.ndarray


class Queue(NamedTuple):
    """The entries and the heap over them.

    Attributes:
        heap: (room,) int64 entries, the first is that whose turn it is.
        counts: (room,) int64, by entry; pairs: (room,) uint64; starts: (room,) int64 into `places`, and sizes: (room,)
            int64: the words of an entry.
        places: (3 symbols,) int32 words: a merge takes a symbol and makes two pairs at most. What is not written to
            takes no memory.
    """

    heap: np.ndarray
    counts: np.ndarray
    pairs: np.ndarray
    starts: np.ndarray
    sizes: np.ndarray
    places: np.ndarray


class Step(NamedTuple):
    """Room for what one merge makes: pairs of the new token with those before it, side 0, and behind it, side 1.

    Attributes:
        notes: (2, ids, 4) int64, by neighbour: how often the pair came to be, in how many words, one more than the
            word that was seen last, and its entry in the queue.
        touched: (2, ids) int32, the neighbours in the order of their first appearance.
        events: (symbols, 2) int32: neighbour (those behind it as -1 - id), word. What is not written takes no memory.
    """

    notes: np.ndarray
    touched: np.ndarray
    events: np.ndarray


@kernel
def pair_of(left: Any, right: Any) -> Any:
    """Return a pair as a number, uint64, by which pairs are in order."""
    return np.uint64(left) << _HALF | np.uint64(right)


@kernel
def pair_slot(pair: Any, table: Any, keys: Any) -> Any:
    """Return the slot that holds a pair, or the one for it. table: (slots, 2) uint64: pair + 1 and its count."""
    last = table.shape[0] - 1
    slot = np.int64(folded_product(pair ^ keys[0], keys[1])) & last
    while table[slot, 0] != 0 and table[slot, 0] != pair + np.uint64(1):
        slot = (slot + 1) & last
    return slot


@kernel
def _add_to_pair(pair: Any, delta: Any, least: int, table: Any, keys: Any, state: Any) -> Any:
    """Add to a pair's count and return it. A pair that is not in the table is put there if it gets `least`; there is
    room for it."""
    slot = pair_slot(pair, table, keys)
    if table[slot, 0] == 0:
        if delta < least:
            return delta
        table[slot, 0] = pair + np.uint64(1)
        state[NUM_PAIRS] += 1
    table[slot, 1] = np.uint64(np.int64(table[slot, 1]) + delta)
    return np.int64(table[slot, 1])


@kernel
def rehash_pairs(before: Any, table: Any, keys: Any) -> None:
    """Put pairs into a larger table."""
    for number in range(before.shape[0]):
        if before[number, 0] != 0:
            slot = pair_slot(before[number, 0] - np.uint64(1), table, keys)
            table[slot, 0], table[slot, 1] = before[number, 0], before[number, 1]


@kernel
def byte_pairs(words: Any, counts: Any, sizes: Any, last: Any) -> None:
    """Count the pairs of words that are bytes still; all (ids, ids) int64 for few ids.

    Args:
        counts: receives how often each occurs; sizes: in how many words; last: zeros, left with words.
    """
    for word in range(words.records.shape[0]):
        start = words.records[word, START]
        for at in range(start, start + words.records[word, LENGTH] - 1):
            left, right = words.ids[at], words.ids[at + 1]
            counts[left, right] += words.records[word, COUNT]
            sizes[left, right] += last[left, right] != word + 1
            last[left, right] = word + 1


@kernel
def list_byte_pairs(words: Any, starts: Any, last: Any, places: Any) -> None:
    """Write the words of each pair into `places`; starts: (ids, ids) int64, where, moved on; last: as of `byte_pairs`,
    zeros again."""
    for word in range(words.records.shape[0]):
        start = words.records[word, START]
        for at in range(start, start + words.records[word, LENGTH] - 1):
            left, right = words.ids[at], words.ids[at + 1]
            if last[left, right] != word + 1:
                last[left, right] = word + 1
                places[starts[left, right]] = word
                starts[left, right] += 1


@kernel
def _before(queue: Any, one: int, other: int) -> bool:
    """Return whether an entry's turn comes before another's."""
    if queue.counts[one] != queue.counts[other]:
        return bool(queue.counts[one] > queue.counts[other])
    return bool(queue.pairs[one] < queue.pairs[other])


@kernel
def push(queue: Any, entry: int, state: Any) -> None:
    """Put an entry into the heap."""
    at = state[QUEUED]
    state[QUEUED] += 1
    while at > 0:
        parent = (at - 1) >> 1
        if not _before(queue, entry, queue.heap[parent]):
            break
        queue.heap[at] = queue.heap[parent]
        at = parent
    queue.heap[at] = entry


@kernel
def _sink(queue: Any, entry: int, queued: int) -> None:
    """Put an entry at the top of the heap, and from there to its place."""
    at = 0
    while True:
        child = 2 * at + 1
        if child >= queued:
            break
        if child + 1 < queued and _before(queue, queue.heap[child + 1], queue.heap[child]):
            child += 1
        if not _before(queue, queue.heap[child], entry):
            break
        queue.heap[at] = queue.heap[child]
        at = child
    queue.heap[at] = entry


@kernel
def _next(queue: Any, table: Any, keys: Any, state: Any) -> Any:
    """Bring the counts at the top of the heap up to date; return the entry whose turn it is, -1 where there is none."""
    while state[QUEUED] > 0:
        top = queue.heap[0]
        count = np.int64(table[pair_slot(queue.pairs[top], table, keys), 1])
        if queue.counts[top] == count:
            return top
        queue.counts[top] = count
        _sink(queue, top, state[QUEUED])
    return _NONE


@kernel
def _drop_top(queue: Any, state: Any) -> None:
    state[QUEUED] -= 1
    if state[QUEUED] > 0:
        _sink(queue, queue.heap[state[QUEUED]], state[QUEUED])


@kernel
def _note(side: int, neighbour: Any, count: Any, word: Any, step: Any, at: Any) -> None:
    """Note a pair of the new token that a word has now.

    Args:
        side: 0 for a neighbour before it, 1 for one behind it.
        at: (3,) int64: how many were touched on each side, how many events there are.
    """
    notes = step.notes[side, neighbour]
    if notes[LAST] == 0:
        step.touched[side, at[side]] = neighbour
        at[side] += 1
    notes[DELTA] += count
    if notes[LAST] != word + 1:
        notes[LAST] = word + 1
        notes[SIZE] += 1
        step.events[at[2], 0] = -1 - neighbour if side else neighbour
        step.events[at[2], 1] = word
        at[2] += 1


@kernel
def _merge_word(word: Any, left: Any, right: Any, new: Any, words: Any, step: Any, at: Any) -> None:
    """Put the pair together wherever it is in a word, from its beginning on, and note the pairs that this makes.

    What is before a place is as it is after the merge, what is behind it as it was before it.
    """
    start, length, count = words.records[word, START], words.records[word, LENGTH], words.records[word, COUNT]
    ids = words.ids[start : start + length]
    written, number = 0, 0
    while number < length:
        if ids[number] != left or number + 1 == length or ids[number + 1] != right:
            ids[written] = ids[number]
            written += 1
            number += 1
            continue
        if written > 0:
            _note(0, np.int64(ids[written - 1]), count, word, step, at)
        ids[written] = new
        written += 1
        number += 2
        if number < length:
            _note(1, np.int64(ids[number]), count, word, step, at)
    words.records[word, LENGTH] = written


@kernel
def _take_off(left: Any, right: Any, new: Any, table: Any, keys: Any, step: Any, at: Any, state: Any) -> None:
    """Count off the pairs of both tokens with their neighbours: as often as the new one has these now.

    What is not in the table never had `least`, and needs no count, but for one pair: in `aaaa`, where `A` stands for
    `aa` now, the first `A` was noted with the `a` behind it, which then became the second: it is entered next.
    """
    for number in range(at[0]):
        before = np.int64(step.touched[0, number])
        least = _ANY if before == new else _NEVER
        _add_to_pair(pair_of(before, left), -step.notes[0, before, DELTA], least, table, keys, state)
    for number in range(at[1]):
        behind = np.int64(step.touched[1, number])
        _add_to_pair(pair_of(right, behind), -step.notes[1, behind, DELTA], _NEVER, table, keys, state)


@kernel
def _enter(
    side: int, neighbour: Any, new: Any, least: int, table: Any, keys: Any, queue: Any, step: Any, state: Any
) -> None:
    """Enter a pair of the new token, without its words yet, where its count is enough: it only becomes smaller."""
    pair = pair_of(new, neighbour) if side else pair_of(neighbour, new)
    notes = step.notes[side, neighbour]
    count = _add_to_pair(pair, notes[DELTA], least, table, keys, state)
    notes[ENTRY] = _NONE
    if count >= least:
        entry = state[NUM_ENTRIES]
        state[NUM_ENTRIES] += 1
        queue.counts[entry], queue.pairs[entry] = count, pair
        queue.starts[entry], queue.sizes[entry] = state[NUM_PLACES], 0
        state[NUM_PLACES] += notes[SIZE]
        notes[ENTRY] = entry
        push(queue, entry, state)
    notes[DELTA], notes[SIZE], notes[LAST] = 0, 0, 0


@kernel
def _enter_all(new: Any, least: int, table: Any, keys: Any, queue: Any, step: Any, at: Any, state: Any) -> None:
    """Enter the pairs of the new token with their words, and leave `step` empty."""
    for side in range(2):
        for number in range(at[side]):
            _enter(side, np.int64(step.touched[side, number]), new, least, table, keys, queue, step, state)
    for number in range(at[2]):
        neighbour = np.int64(step.events[number, 0])
        entry = step.notes[1, -1 - neighbour, ENTRY] if neighbour < 0 else step.notes[0, neighbour, ENTRY]
        if entry != _NONE:
            queue.places[queue.starts[entry] + queue.sizes[entry]] = step.events[number, 1]
            queue.sizes[entry] += 1
    at[0], at[1], at[2] = 0, 0, 0


@kernel
def merge(
    num_ids: int, least: int, words: Any, table: Any, keys: Any, queue: Any, pairs: Any, step: Any, at: Any, state: Any
) -> int:
    """Merge pairs until there are so many ids; return DONE, EXHAUSTED, or what is full: then go on with more room.

    Args:
        num_ids: tokens in all.
        least: occurrences that a pair needs.
        table: as of `pair_slot`; keys: (2,) uint64 of its hash.
        pairs: (tokens, 2) int32, receives the pair that each token is made of.
        at: (3,) int64, zeros.
        state: (NUM_STATES,) int64.
    """
    least = max(least, 1)
    while state[NUM_IDS] < num_ids:
        most_new = 2 * (state[NUM_IDS] + 1)
        if 2 * (state[NUM_PAIRS] + most_new) > table.shape[0]:
            return FULL_PAIRS
        if state[NUM_ENTRIES] + most_new > queue.heap.size:
            return FULL_ENTRIES
        top = _next(queue, table, keys, state)
        if top == _NONE or queue.counts[top] < least:
            return EXHAUSTED
        _drop_top(queue, state)
        left, right = np.int64(queue.pairs[top] >> _HALF), np.int64(queue.pairs[top] & np.uint64(0xFFFFFFFF))
        new = state[NUM_IDS]
        state[NUM_IDS] += 1
        pairs[new, 0], pairs[new, 1] = left, right
        for number in range(queue.starts[top], queue.starts[top] + queue.sizes[top]):
            _merge_word(np.int64(queue.places[number]), left, right, new, words, step, at)
        _take_off(left, right, new, table, keys, step, at, state)
        _enter_all(new, least, table, keys, queue, step, at, state)
    return DONE
