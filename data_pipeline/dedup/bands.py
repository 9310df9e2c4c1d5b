"""Which documents a chain of shared bands connects, in memory that does not grow with the signatures.

The signatures are read once: of each document one key a band stays, in memory, or on disk where memory is short. Then a
*unit* of the work is a band, or one range of its keys where not even a band's have room. Its keys are dealt into parts
that fit a processor's cache, a hash table finds the equal ones of a part, and their documents are connected. Where a
unit has more keys than room, one of each key stays when the room is full: a crowd of copies takes one place. Threads
share the units; each connects documents for itself, and what they found is connected at the end. Neither memory,
threads nor partitions show in the result.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, NamedTuple, Protocol

import numpy as np

from data_pipeline.compiled import array_kernel
from foundation.progress import Meter

BLOCK_DOCS = 1 << 13  # whose signatures are read at a time: 4 MiB of 128 values
KEY_BYTES = 8  # of a document and band
ENTRY_BYTES = 2 * 12  # a key and its document, twice: as they come, and dealt into parts
PARENT_BYTES = 4  # of a union-find, a document
MIN_ENTRIES = 1 << 10  # that a unit has room for: keys are then spread evenly enough over ranges
FILL = 0.75  # of that room for the different keys of a range, so that uniting equal ones frees the rest
PART_ENTRIES = 1 << 12  # that are united at a time: with their table they stay in a processor's cache
_TABLE_SHIFT = np.uint64(20)  # a part goes by the key's lowest bits, the place in its table by higher ones
_MIX_1, _MIX_2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
_HALF = np.uint64(32)

MakeArray = Callable[[tuple[int, ...], Any], np.ndarray]  # of a shape and a dtype, as np.empty does


class Rows(Protocol):
    """Rows of an array, (n,) or (n, width), that may lie on disk: an array, or what reads those that are asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice | np.ndarray, /) -> np.ndarray: ...


class Clusters(NamedTuple):
    """The documents that share a band with another.

    Attributes:
        documents: (k,) int64 positions, ascending.
        clusters: (k,) int64, the smallest position among those that bands connect with it.
    """

    documents: np.ndarray
    clusters: np.ndarray


class Plan(NamedTuple):
    """How the work is cut to the memory.

    Attributes:
        in_memory: whether the keys are, else on disk.
        threads: that work at the same time.
        entries: keys that a unit has room for.
        num_ranges: that a band's keys are cut into; 1 where all have room.
    """

    in_memory: bool
    threads: int
    entries: int
    num_ranges: int


def find_clusters(
    parts: Sequence[Rows],
    bands: int,
    rows: int,
    memory_bytes: int,
    progress: Meter,
    threads: int = 1,
    on_disk: MakeArray = np.empty,
) -> Clusters:
    """Return the connected components of the documents, two of them connected where they share a band.

    Args:
        parts: signatures, laid end to end.
        memory_bytes: see `plan_work`. What it is changes no result.
        progress: receives every document once a band and range, and once for being read.
        threads: that may work at the same time.
        on_disk: makes the array of the keys where memory is short.
    """
    num_docs = sum(map(len, parts))
    assert num_docs < 2**32, "documents are counted in 32 bits"
    plan = plan_work(num_docs, bands, memory_bytes, threads)
    units = list(itertools.product(range(bands), range(plan.num_ranges)))
    progress.expect(num_docs * (1 + len(units)))
    lanes = [_Lane(plan, num_docs) for _ in range(plan.threads)]
    with ThreadPoolExecutor(plan.threads) as pool:
        keys = (np.empty if plan.in_memory else on_disk)((bands, num_docs), np.uint64)
        _write_keys(parts, rows, keys, pool, progress)
        free = SimpleQueue[_Lane]()
        for lane in lanes:
            free.put(lane)
        for _ in pool.map(lambda unit: _connect(free, keys[unit[0]], unit[1]), units):
            progress.add(num_docs)
    for lane in lanes[1:]:
        _join_all(lane.parents, lanes[0].parents)
    return Clusters(*_components(lanes[0].parents))


def plan_work(num_docs: int, bands: int, memory_bytes: int, threads: int) -> Plan:
    """Return how the work is cut to the memory: that of the keys, the units' rooms, and all union-finds but one.

    Fewer threads than may work do so where the rooms of more would have to be smaller than a band. Keys go to disk
    where twice as many can work then: what is read of it is mostly in memory all the same.
    """
    most = min(threads, bands)
    keys_bytes = KEY_BYTES * bands * num_docs
    in_memory, on_disk = (
        min((granted + PARENT_BYTES * num_docs) // max((ENTRY_BYTES + PARENT_BYTES) * num_docs, 1), most)
        for granted in (memory_bytes - keys_bytes, memory_bytes)
    )
    if in_memory >= 1 and 2 * in_memory > on_disk:
        return Plan(True, in_memory, num_docs, 1)
    if on_disk >= 1:
        return Plan(False, on_disk, num_docs, 1)
    entries = max(memory_bytes // ENTRY_BYTES, MIN_ENTRIES)
    return Plan(False, 1, entries, -(-num_docs // int(FILL * entries)))


def rows_at(parts: Sequence[Rows], positions: np.ndarray) -> np.ndarray:
    """Return the rows at (m,) int64 positions of all parts laid end to end, in that order."""
    ends = np.cumsum([len(part) for part in parts])
    part_of = np.searchsorted(ends, positions, side="right")
    order = np.argsort(part_of, kind="stable")
    borders = np.searchsorted(part_of[order], np.arange(len(parts) + 1)).tolist()
    like = parts[0][:0]
    found = np.empty((len(positions), *like.shape[1:]), like.dtype)
    for number, (start, stop) in enumerate(itertools.pairwise(borders)):
        if start < stop:
            here = order[start:stop]
            found[here] = parts[number][positions[here] - (ends[number] - len(parts[number]))]
    return found


def _write_keys(parts: Sequence[Rows], rows: int, keys: np.ndarray, pool: ThreadPoolExecutor, progress: Meter) -> None:
    """Fill `keys`, (bands, n) uint64. A block of signatures is read while the keys of the one before are made."""
    made: Future[None] | None = None
    for first, block in _blocks(parts):
        if made is not None:
            made.result()
        made = pool.submit(_fill, block, rows, keys[:, first : first + len(block)])
        progress.add(len(block))
    if made is not None:
        made.result()


def _blocks(parts: Sequence[Rows]) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the position of each block's first document, and the block."""
    first = 0
    for part in parts:
        for start in range(0, len(part), BLOCK_DOCS):
            block = part[start : start + BLOCK_DOCS]
            yield first, block
            first += len(block)


def _connect(free: SimpleQueue[_Lane], keys: np.ndarray, range_: int) -> None:
    """Work on a unit with a lane that is free; there is one for every thread."""
    lane = free.get()
    lane.connect(keys, range_)
    free.put(lane)


class _Entries(NamedTuple):
    """Keys and their documents. Attributes: keys: (n,) uint64; documents: (n,) uint32, positions."""

    keys: np.ndarray
    documents: np.ndarray


class _Lane:
    """What one thread has connected, and its room to work.

    Attributes:
        parents: (n,) uint32, the union-find.
    """

    def __init__(self, plan: Plan, num_docs: int) -> None:
        self.parents = np.arange(num_docs, dtype=np.uint32)
        self._num_ranges = plan.num_ranges
        self._room, self._dealt = (
            _Entries(np.empty(plan.entries, np.uint64), np.empty(plan.entries, np.uint32)) for _ in range(2)
        )

    def connect(self, keys: np.ndarray, range_: int) -> None:
        """Connect the documents of a band that have a key in common, of one range.

        Args:
            keys: (n,) uint64.
        """
        start = used = 0
        while start < len(keys):
            start, used = _take(keys, start, range_, self._num_ranges, self._room, used)
            used = _unite(self._room, used, self._dealt, self.parents)
            assert used >= 0, "keys are not spread over parts as hashes are"
            assert used < len(self._room.keys) or start == len(keys), "keys are not spread over ranges as hashes are"


@array_kernel
def band_keys(signatures: np.ndarray, first_column: int, rows: int) -> np.ndarray:
    """Return a 64-bit hash of each row: equal rows, equal hashes; of 10^7 different rows two are equal with P = 3e-6.

    Args:
        signatures: (n, num_perm) uint32, whose columns from `first_column` on are the band.
    Returns:
        (n,) uint64.
    """
    keys = np.empty(len(signatures), np.uint64)
    for document in range(len(signatures)):
        keys[document] = _key(signatures, document, first_column, rows)
    return keys


@array_kernel
def bucket_numbers(signatures: np.ndarray, bands: int, rows: int) -> np.ndarray:
    """Return a number for each document and band, (n, bands) uint32, below n * bands: equal ones where keys are."""
    n = len(signatures)
    numbers = np.empty((n, bands), np.uint32)
    slots = _power_of_two(2 * n)
    keys, first = np.empty(slots, np.uint64), np.empty(slots, np.uint32)
    mask = np.uint64(slots - 1)
    for band in range(bands):
        first[:] = 0  # one more than the first document of a key
        for document in range(n):
            key = _key(signatures, document, band * rows, rows)
            slot = key & mask
            while first[slot] != 0 and keys[slot] != key:
                slot = (slot + np.uint64(1)) & mask
            if first[slot] == 0:
                keys[slot], first[slot] = key, document + 1
            numbers[document, band] = band * n + first[slot] - 1
    return numbers


@array_kernel
def _fill(signatures: np.ndarray, rows: int, keys: np.ndarray) -> None:
    """Write the `band_keys` of every band, (bands, n) uint64."""
    for document in range(len(signatures)):
        for band in range(len(keys)):
            keys[band, document] = _key(signatures, document, band * rows, rows)


@array_kernel
def _key(signatures: np.ndarray, document: int, first_column: int, rows: int) -> np.uint64:
    key = np.uint64(0)
    for column in range(first_column, first_column + rows):
        key = (key ^ np.uint64(signatures[document, column])) * _MIX_1
        key ^= key >> _HALF
    key *= _MIX_2
    return key ^ (key >> _HALF)


@array_kernel
def _take(keys: np.ndarray, start: int, range_: int, num_ranges: int, room: _Entries, used: int) -> tuple[int, int]:
    """Put keys of a range, from `start` on, behind the entries that are used, until all are there or no room is left.

    Returns:
        The document to go on with, and how many entries are used.
    """
    while start < len(keys) and used < len(room.keys):
        for document in range(start, min(start + len(room.keys) - used, len(keys))):
            room.keys[used], room.documents[used] = keys[document], document
            # of a key of another range the next one takes the place
            used += num_ranges == 1 or ((keys[document] >> _HALF) * np.uint64(num_ranges)) >> _HALF == np.uint64(range_)
            start += 1
    return start, used


@array_kernel
def _unite(room: _Entries, used: int, dealt: _Entries, parents: np.ndarray) -> int:
    """Connect the documents of equal keys; one entry of each key stays, at the front.

    Returns:
        How many stay; -1 where a part has more different keys than chance allows.
    """
    starts = _deal(room, used, dealt)
    usual = used // (len(starts) - 1) + 1
    most = usual + 8 * int(np.sqrt(usual)) + 64
    table = np.zeros(_power_of_two(2 * most), np.uint32)  # one more than the place of the entry that stays
    mask = np.uint64(len(table) - 1)
    left = 0
    for part in range(len(starts) - 1):
        first = left
        table[:] = 0
        for at in range(starts[part], starts[part + 1]):
            key = dealt.keys[at]
            slot = (key >> _TABLE_SHIFT) & mask
            while table[slot] != 0 and room.keys[table[slot] - 1] != key:
                slot = (slot + np.uint64(1)) & mask
            if table[slot] != 0:
                _join(room.documents[table[slot] - 1], dealt.documents[at], parents)
                continue
            room.keys[left], room.documents[left] = key, dealt.documents[at]
            left += 1
            table[slot] = left
            if left - first == most:
                return -1
    return left


@array_kernel
def _deal(room: _Entries, used: int, dealt: _Entries) -> np.ndarray:
    """Copy entries so that those of a part stand together; return where each part begins, (parts + 1,) int64."""
    parts = _power_of_two(-(-used // PART_ENTRIES))
    mask = np.uint64(parts - 1)
    starts = np.zeros(parts + 1, np.int64)
    for at in range(used):
        starts[np.int64(room.keys[at] & mask) + 1] += 1
    starts = np.cumsum(starts)
    nexts = starts.copy()
    for at in range(used):
        part = room.keys[at] & mask
        dealt.keys[nexts[part]], dealt.documents[nexts[part]] = room.keys[at], room.documents[at]
        nexts[part] += 1
    return starts


@array_kernel
def _power_of_two(least: int) -> int:
    power = 1
    while power < least:
        power *= 2
    return power


@array_kernel
def _root(document: int, parents: np.ndarray) -> int:
    while parents[document] != document:
        parents[document] = parents[parents[document]]
        document = parents[document]
    return document


@array_kernel
def _join(a: int, b: int, parents: np.ndarray) -> None:
    """Put the smaller root above the other, so that no order of bands or documents shows."""
    a, b = _root(a, parents), _root(b, parents)
    parents[max(a, b)] = min(a, b)


@array_kernel
def _join_all(found: np.ndarray, parents: np.ndarray) -> None:
    """Connect what another union-find has connected."""
    for document in range(len(found)):
        if found[document] != document:
            _join(document, found[document], parents)


@array_kernel
def _components(parents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the documents that are not alone, and the root of each."""
    in_company = np.zeros(len(parents), np.bool_)
    for document in range(len(parents)):
        root = _root(document, parents)
        parents[document] = root
        if root != document:
            in_company[document] = in_company[root] = True
    documents = np.flatnonzero(in_company)
    return documents, parents[documents].astype(np.int64)
