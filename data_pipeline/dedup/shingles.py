"""Shingles: the runs of n words by which near-duplicates are compared, as hashes and as where their bytes lie.

`words` is a document's words joined by one space, uint8 (words.join_words): a space is then always a border between two
words.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from data_pipeline.compiled import array_kernel

BLOCK_BYTES = 1 << 18  # of words that are hashed at a time
_SPACE = np.uint8(32)
_MIX_1, _MIX_2, _MIX_SHIFT = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53), np.uint64(33)
_WORD_BASE = np.uint64(0x9E3779B97F4A7C15)
_PLACES = 64


def mix64(values: np.ndarray) -> np.ndarray:
    """Return each uint64 mapped by a bijection in which every bit of the input moves every bit of the output.

    Source: MurmurHash3's fmix64, Austin Appleby, public domain.
    """
    values = (values ^ (values >> _MIX_SHIFT)) * _MIX_1
    values = (values ^ (values >> _MIX_SHIFT)) * _MIX_2
    mixed: np.ndarray = values ^ (values >> _MIX_SHIFT)
    return mixed


_mix64: Any = array_kernel(mix64)  # the same for one value, called by kernels
# The factor of a byte at place p of its word: _LOW[p % 64] ^ _HIGH[p // 64 % 64], odd, the same again after 4,096.
_LOW = mix64(np.arange(1, _PLACES + 1, dtype=np.uint64)) | np.uint64(1)
_HIGH = mix64(np.arange(_PLACES, dtype=np.uint64)) << np.uint64(1)


def shingle_set(words: np.ndarray, ngram: int) -> np.ndarray:
    """Return a document's set of shingles as (m,) uint64 hashes, sorted, each once.

    Args:
        ngram: words per shingle; a document of fewer words is one shingle of all.
    """
    hashes = np.concatenate([shingle_hashes(block, ngram) for block in word_blocks(words, ngram)])
    hashes.sort()  # a tenth of what np.unique takes
    return _without_repeats(hashes)


@array_kernel
def _without_repeats(values: np.ndarray) -> np.ndarray:
    """Return sorted values, of which there are some, each once; the array itself is overwritten."""
    count = 1
    for value in values[1:]:
        values[count] = value
        count += value != values[count - 1]  # of a repeat the next one takes the place
    return values[:count].copy()


def word_blocks(words: np.ndarray, ngram: int, most: int = BLOCK_BYTES) -> Iterator[np.ndarray]:
    """Yield runs of a document's words so that each of its shingles lies in one: a block's arrays are then small.

    Args:
        most: bytes of a block; `ngram` words are taken, however long.
    """
    start = 0
    while start + most < len(words):
        spaces, size = np.flatnonzero(words[start : start + most] == _SPACE), most
        while len(spaces) < ngram and start + size < len(words):  # words of a megabyte
            size *= 2
            spaces = np.flatnonzero(words[start : start + size] == _SPACE)
        if len(spaces) < ngram:
            break
        yield words[start : start + spaces[-1]]
        start += spaces[-ngram] + 1  # the last ngram - 1 words once more
    yield words[start:]


@array_kernel
def shingle_hashes(words: np.ndarray, ngram: int) -> np.ndarray:
    """Return the hash of each shingle in order, repeated ones repeated, (m,) uint64. Arguments as of `shingle_set`.

    A polynomial of the hashes of its words and of their number, so that a short document's only shingle is no prefix of
    another's. Among 10^6 distinct shingles two are equal with probability 3e-8.
    """
    hashes = word_hashes(words)
    size = min(ngram, len(hashes))
    shingles = np.empty(len(hashes) - size + 1, np.uint64)
    power, sum_ = np.uint64(1), np.uint64(0)
    for word in range(size - 1):
        power, sum_ = power * _WORD_BASE, sum_ * _WORD_BASE + hashes[word]
    for first in range(len(shingles)):
        sum_ = sum_ * _WORD_BASE + hashes[first + size - 1]
        shingles[first] = _mix64(sum_ + np.uint64(size))
        sum_ -= power * hashes[first]
    return shingles


@array_kernel
def text_hashes(data: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a hash of all words of each text, in order, (n,) uint64, and how many they are, (n,) int64.

    Args:
        data, starts, stops: of words.Joined.
    """
    hashes, counts = np.empty(len(starts), np.uint64), np.empty(len(starts), np.int64)
    for text in range(len(starts)):
        sum_, count = np.uint64(0), 0
        if stops[text] > starts[text]:
            words = word_hashes(data[starts[text] : stops[text]])
            count = len(words)
            for word in words:
                sum_ = sum_ * _WORD_BASE + word
        hashes[text], counts[text] = _mix64(sum_ + np.uint64(count)), count
    return hashes, counts


@array_kernel
def word_hashes(words: np.ndarray) -> np.ndarray:
    """Return the hash of each word, (n,) uint64: the sum of its bytes, each (plus one) times a factor of its place.

    Each byte costs an addition in a row, where FNV waits for a product: twice as fast.
    """
    hashes = np.empty(len(words) // 2 + 2, np.uint64)
    word, place, sum_ = 0, 0, np.uint64(0)
    for byte in words:
        hashes[word] = sum_
        factor = _LOW[place & 63]
        if place >= _PLACES:
            if place & 4095 == 0:  # from here on the factors come again
                sum_ = _mix64(sum_)
            factor ^= _HIGH[(place >> 6) & 63]
        sum_ += (np.uint64(byte) + np.uint64(1)) * factor
        place += 1
        if byte == _SPACE:
            word, place, sum_ = word + 1, 0, np.uint64(0)
    hashes[word] = sum_
    return hashes[: word + 1]


@array_kernel
def shingle_bounds(words: np.ndarray, ngram: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where each shingle begins and ends in `words`, (m,) int64 each. Arguments as of `shingle_set`."""
    spaces = np.flatnonzero(words == _SPACE)
    size = min(ngram, len(spaces) + 1)
    num_shingles = len(spaces) + 2 - size
    starts, stops = np.zeros(num_shingles, np.int64), np.full(num_shingles, len(words), np.int64)
    starts[1:] = spaces[: num_shingles - 1] + 1
    stops[:-1] = spaces[size - 1 :]
    return starts, stops
