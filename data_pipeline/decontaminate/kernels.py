"""The hot loops of decontamination: code points to word hashes, word hashes to n-gram hashes, n-gram hashes to numbers.

They stand in one file, with all that they call: numba's cache on disk notices a change of a kernel's own file only,
and a stale half of a hash function would find nothing and say so nowhere.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

BREAK, LETTER, ALONE, MARK, DROPPED = range(5)  # classes of code points, see words.char_class
# FNV-1a over a word's code points, a polynomial over an n-gram's words, the finaliser of MurmurHash3 after each
_FNV_OFFSET, _FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
_WORD_BASE = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2, _MIX_SHIFT = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53), np.uint64(33)


class Table(NamedTuple):
    """Sorted hashes with a directory: those whose first k bits are b are hashes[starts[b] : starts[b + 1]], about one.

    Attributes:
        hashes: (g,) uint64, sorted, each once.
        starts: (2^k + 1,) int64.
        shift: 64 - k.
    """

    hashes: np.ndarray
    starts: np.ndarray
    shift: np.uint64


@numba.njit(cache=True)
def hash_words(points: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return a 64-bit hash of each word; the words are those of words.words.

    Args:
        points: (c,) uint32 code points of the normal text.
        classes: (0x110000,) uint8.
    Returns:
        (m,) uint64.
    """
    hashes, count = np.empty(len(points), np.uint64), 0
    is_open = is_alone = False
    for point in points:
        kind = classes[point]
        if kind == BREAK:
            is_open = False
        elif kind == ALONE or (kind == LETTER and (is_alone or not is_open)):
            hashes[count] = (_FNV_OFFSET ^ np.uint64(point)) * _FNV_PRIME
            count += 1
            is_open, is_alone = True, kind == ALONE
        elif kind == LETTER or (kind == MARK and is_open):
            hashes[count - 1] = (hashes[count - 1] ^ np.uint64(point)) * _FNV_PRIME
    for word in range(count):
        hashes[word] = _mix64(hashes[word])
    return hashes[:count]


@numba.njit(cache=True)
def hash_ngrams(hashes: np.ndarray, length: int) -> np.ndarray:
    """Return a 64-bit hash of each run of `length` words; runs of different lengths have different hashes.

    Args:
        hashes: (m,) uint64 of the words.
    Returns:
        (max(0, m - length + 1),) uint64.
    """
    ngrams = np.empty(max(0, len(hashes) - length + 1), np.uint64)
    power = np.uint64(1)
    for _ in range(length):
        power = power * _WORD_BASE
    sum_ = np.uint64(0)
    for word in range(len(hashes)):
        sum_ = sum_ * _WORD_BASE + hashes[word]
        if word >= length:
            sum_ -= power * hashes[word - length]
        if word >= length - 1:
            ngrams[word - length + 1] = _mix64(sum_ + np.uint64(length))
    return ngrams


@numba.njit(cache=True)
def find_ngrams(hashes: np.ndarray, lengths: np.ndarray, table: Table) -> np.ndarray:
    """Return the places in the table of the n-grams of these words, as often as they occur, (h,) int64.

    Args:
        hashes: (m,) uint64 of the words.
        lengths: (l,) int64, lengths of n-grams in words.
    """
    found, count = np.empty(len(hashes) * len(lengths), np.int64), 0
    for length in lengths:
        for hash_ in hash_ngrams(hashes, length):
            place = _place_of(hash_, table)
            if place >= 0:
                found[count] = place
                count += 1
    return found[:count]


@numba.njit(cache=True)
def _place_of(hash_: np.uint64, table: Table) -> int:
    """Return where the table holds an n-gram, or -1."""
    prefix = hash_ >> table.shift
    for place in range(table.starts[prefix], table.starts[prefix + np.uint64(1)]):
        if table.hashes[place] == hash_:
            return place
    return -1


@numba.njit(cache=True)
def _mix64(value: np.uint64) -> np.uint64:
    """Source: MurmurHash3's fmix64, Austin Appleby, public domain."""
    value = (value ^ (value >> _MIX_SHIFT)) * _MIX_1
    value = (value ^ (value >> _MIX_SHIFT)) * _MIX_2
    return value ^ (value >> _MIX_SHIFT)
