"""Shingles: the runs of n words by which near-duplicates are compared. Once as bytes, once as sets of 64-bit hashes."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

_SPACE = np.uint8(32)
# FNV-1a over bytes within a word, a polynomial over the words of a shingle, the finaliser of MurmurHash3 after each:
# 64-bit hashes of distinct shingles differ (among 10^6 shingles two are equal with probability 3e-8).
_FNV_OFFSET = np.uint64(0xCBF29CE484222325)
_FNV_PRIME = np.uint64(0x100000001B3)
_WORD_BASE = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xFF51AFD7ED558CCD)
_MIX_2 = np.uint64(0xC4CEB9FE1A85EC53)
_MIX_SHIFT = np.uint64(33)


def shingle_bytes(words: bytes, ngram: int) -> list[bytes]:
    """Return the shingles in order, repeated ones repeated.

    Args:
        words: joined by one space (dedup.exact.joined_words): a space is then always a border between two words.
        ngram: words per shingle.
    Returns:
        Each run of `ngram` words; one shingle of all words where there are fewer.
    """
    spaces = np.flatnonzero(np.frombuffer(words, np.uint8) == _SPACE)
    if len(spaces) + 1 <= ngram:
        return [words]
    starts = [0, *(spaces + 1).tolist()]
    ends = [*spaces.tolist(), len(words)]
    return [words[start:end] for start, end in zip(starts, ends[ngram - 1 :], strict=False)]


def shingle_set(words: bytes, ngram: int) -> np.ndarray:
    """Return the document's set of shingles as (m,) uint64 hashes, sorted, each once. Arguments as of shingle_bytes."""
    return np.unique(_shingle_hashes(np.frombuffer(words, np.uint8), ngram))


def mix64(values: np.ndarray) -> np.ndarray:
    """Return each uint64 mapped by a bijection in which every bit of the input moves every bit of the output.

    Source: MurmurHash3's fmix64, Austin Appleby, public domain.
    """
    values = (values ^ (values >> _MIX_SHIFT)) * _MIX_1
    values = (values ^ (values >> _MIX_SHIFT)) * _MIX_2
    mixed: np.ndarray = values ^ (values >> _MIX_SHIFT)
    return mixed


mix64_kernel: Any = numba.njit(cache=True)(mix64)  # the same for one value, called by kernels


@numba.njit(cache=True)
def _word_hashes(data: np.ndarray) -> np.ndarray:
    num_words = 1
    for byte in data:
        num_words += byte == _SPACE
    hashes = np.empty(num_words, np.uint64)
    word, hash_ = 0, _FNV_OFFSET
    for byte in data:
        if byte == _SPACE:
            hashes[word] = mix64_kernel(hash_)
            word, hash_ = word + 1, _FNV_OFFSET
        else:
            hash_ = (hash_ ^ np.uint64(byte)) * _FNV_PRIME
    hashes[word] = mix64_kernel(hash_)
    return hashes


@numba.njit(cache=True)
def _shingle_hashes(data: np.ndarray, ngram: int) -> np.ndarray:
    hashes = _word_hashes(data)
    size = min(ngram, len(hashes))
    shingles = np.empty(len(hashes) - size + 1, np.uint64)
    for first in range(len(shingles)):
        sum_ = np.uint64(size)  # the length counts: a short document's only shingle is no prefix of another's
        for word in range(first, first + size):
            sum_ = sum_ * _WORD_BASE + hashes[word]
        shingles[first] = mix64_kernel(sum_)
    return shingles
