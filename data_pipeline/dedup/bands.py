"""Which documents a chain of shared bands connects, in memory that does not grow with the signatures.

The band keys are looked at range by range: all keys of a range go through one hash table, where equal keys take one
place, so that neither a large corpus nor a million copies of one document needs more than was granted. The signatures
are read once for as many bands as the tables have room for, a block at a time. All kernels that call each other stand
in this file: numba's cache on disk doesn't notice a change of another's.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numba
import numpy as np

BLOCK_DOCS = 1 << 13  # whose signatures are read at a time: 4 MiB of 128 values
ENTRY_BYTES = 16  # of a table: a key and the document that had it first
FREE_SLOTS = 1.5  # slots a key: fewer make a look longer
MIN_SLOTS = 1 << 10  # of a table: the keys of a range are then certain to fit, spread as they are by their hash
_MIX_1, _MIX_2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
_HALF, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)


class Rows(Protocol):
    """Rows of a matrix, (n, width) uint32, that may lie on disk: an array, or what reads those that are asked for."""

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


class _Pass(NamedTuple):
    """What is done in one reading of the signatures: these bands; of each, the keys of one range of so many."""

    first_band: int
    last_band: int
    range_: int
    num_ranges: int


def find_clusters(parts: Sequence[Rows], bands: int, rows: int, memory_bytes: int) -> Clusters:
    """Return the connected components of the documents, two of them connected where they share a band.

    Args:
        parts: signatures, laid end to end.
        memory_bytes: of the tables, 16 KiB at least. What it is changes no result. Beside them are 8 bytes a document.
    """
    num_docs = sum(map(len, parts))
    parents = np.arange(num_docs)
    for pass_ in _passes(num_docs, bands, memory_bytes):
        _connect(parts, rows, pass_, parents)
    return Clusters(*_components(parents))


def rows_at(parts: Sequence[Rows], positions: np.ndarray) -> np.ndarray:
    """Return the rows at (m,) int64 positions of all parts laid end to end, in that order."""
    ends = np.cumsum([len(part) for part in parts])
    part_of = np.searchsorted(ends, positions, side="right")
    found = np.empty((len(positions), parts[0][:0].shape[1]), np.uint32)
    for number in np.unique(part_of).tolist():
        here = part_of == number
        found[here] = parts[number][positions[here] - (ends[number] - len(parts[number]))]
    return found


def _passes(num_docs: int, bands: int, memory_bytes: int) -> Iterator[_Pass]:
    slots = max(memory_bytes // ENTRY_BYTES, MIN_SLOTS)
    wanted = _num_slots(num_docs)
    if wanted > slots:
        num_ranges = -(-num_docs // int((slots - MIN_SLOTS // 4) / FREE_SLOTS))
        for band, range_ in itertools.product(range(bands), range(num_ranges)):
            yield _Pass(band, band + 1, range_, num_ranges)
        return
    at_once = slots // wanted
    for band in range(0, bands, at_once):
        yield _Pass(band, min(band + at_once, bands), 0, 1)


def _num_slots(num_keys: int) -> int:
    return int(FREE_SLOTS * num_keys) + MIN_SLOTS // 4


def _connect(parts: Sequence[Rows], rows: int, pass_: _Pass, parents: np.ndarray) -> None:
    num_bands = pass_.last_band - pass_.first_band
    tables = np.zeros((num_bands, _num_slots(-(-len(parents) // pass_.num_ranges)), 2), np.uint64)
    used = np.zeros(num_bands, np.int64)
    first = 0
    for part in parts:
        for start in range(0, len(part), BLOCK_DOCS):
            block = part[start : start + BLOCK_DOCS]
            for number, band in enumerate(range(pass_.first_band, pass_.last_band)):
                keys = band_keys(block, band * rows, rows)
                used[number] += _look(keys, first, pass_.range_, pass_.num_ranges, tables[number], parents)
                assert used[number] < tables.shape[1], "keys are not spread as hashes are"
            first += len(block)


@numba.njit(cache=True)
def band_keys(signatures: np.ndarray, first_column: int, rows: int) -> np.ndarray:
    """Return a 64-bit hash of each row: equal rows, equal hashes; of 10^7 different rows two are equal with P = 3e-6.

    Args:
        signatures: (n, num_perm) uint32, whose columns from `first_column` on are the band.
    Returns:
        (n,) uint64.
    """
    keys = np.empty(len(signatures), np.uint64)
    for document in range(len(signatures)):
        key = np.uint64(0)
        for column in range(first_column, first_column + rows):
            key = (key ^ np.uint64(signatures[document, column])) * _MIX_1
            key ^= key >> _HALF
        key *= _MIX_2
        keys[document] = key ^ (key >> _HALF)
    return keys


@numba.njit(cache=True)
def _look(keys: np.ndarray, first: int, range_: int, num_ranges: int, table: np.ndarray, parents: np.ndarray) -> int:
    """Connect each document with the first that had its key; return how many keys are new to the table.

    Args:
        keys: of each document from `first` on; only those of the range count.
        table: (slots, 2) uint64: a key, and one more than the first document that had it; 0 where a slot is free.
    """
    slots, heads = np.empty(len(keys), np.int64), np.empty(len(keys), np.uint64)
    for i in range(len(keys)):  # no look waits for another here: memory answers many at once
        slots[i] = ((keys[i] & _LOW) * np.uint64(len(table))) >> _HALF
        heads[i] = table[slots[i], 1] if table[slots[i], 0] == keys[i] else np.uint64(0)
    new = 0
    for i in range(len(keys)):
        key, slot, head = keys[i], slots[i], heads[i]
        if num_ranges > 1 and ((key >> _HALF) * np.uint64(num_ranges)) >> _HALF != np.uint64(range_):
            continue
        while head == 0 and table[slot, 1] != 0:
            if table[slot, 0] == key:
                head = table[slot, 1]
            slot = slot + 1 if slot + 1 < len(table) else 0
        if head != 0:
            _join(int(head) - 1, first + i, parents)
            continue
        table[slot, 0], table[slot, 1] = key, np.uint64(first + i + 1)
        new += 1
    return new


@numba.njit(cache=True)
def _root(document: int, parents: np.ndarray) -> int:
    while parents[document] != document:
        parents[document] = parents[parents[document]]
        document = parents[document]
    return document


@numba.njit(cache=True)
def _join(a: int, b: int, parents: np.ndarray) -> None:
    """Put the smaller root above the other, so that no order of bands or documents shows."""
    a, b = _root(a, parents), _root(b, parents)
    parents[max(a, b)] = min(a, b)


@numba.njit(cache=True)
def _components(parents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the documents that are not alone, and the root of each."""
    in_company = np.zeros(len(parents), np.bool_)
    for document in range(len(parents)):
        root = _root(document, parents)
        parents[document] = root
        if root != document:
            in_company[document] = in_company[root] = True
    documents = np.flatnonzero(in_company)
    return documents, parents[documents]
