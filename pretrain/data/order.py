"""The order of an epoch: a seeded permutation evaluated index by index, O(1) in memory, nothing stored.

A Feistel network over two digits: index = left + a * right with a = ceil(sqrt(n)), b = ceil(n / a). Each round adds to
one digit (modulo its base) a hash of the other, which is a bijection of [0, a * b); results at or above n are put
through again until they fall below it (cycle walking), which keeps the bijection on [0, n). a * b exceeds n by less
than a, so about one index in sqrt(n) walks at all.

Source: Black and Rogaway, Ciphers with Arbitrary Finite Domains, CT-RSA 2002 (generalised Feistel and cycle walking).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import xxhash

Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]

NUM_ROUNDS = 12  # measured: 6 do from some hundred indices on, but all orders of 5 are equally frequent only from 12
MAX_N = 1 << 62  # both digits stay below 2^31 + 1, so 32 hash bits times a digit's base fit into 64
MULTIPLIERS = (0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93)  # golden ratio; Pelle Evensen's rrmxmx constant
LOW_64_BITS = (1 << 64) - 1


def permute(index: Int64s, n: int, seed: int, epoch: int, source: str = "") -> Int64s:
    """Return the places of `index` in the permutation of [0, n) that (seed, source, epoch) names.

    Args:
        index: (k,) int64 in [0, n), any order, repeats allowed.
        n: size of the permuted range, 1 to 2^62.
        seed, epoch: any integers.
        source: gives each source of a mixture an order of its own.
    Returns:
        (k,) int64 in [0, n); over all of [0, n) each value once.
    """
    assert 1 <= n <= MAX_N, n
    keys = _round_keys(seed, epoch, source)
    result = _feistel(index.astype(np.uint64), n, keys)
    while (outside := result >= n).any():
        result[outside] = _feistel(result[outside], n, keys)
    return result.astype(np.int64)


def permute_plainly(index: Int64s, n: int, seed: int, epoch: int, source: str = "") -> Int64s:
    """Return what `permute` returns, index by index."""
    return np.array([permute_one(each, n, seed, epoch, source) for each in index.tolist()], dtype=np.int64)


def permute_one(index: int, n: int, seed: int, epoch: int, source: str = "") -> int:
    """Return what `permute` returns for one index: the same network in plain integers."""
    keys = [int(key) for key in _round_keys(seed, epoch, source)]
    a, b = _bases(n)
    while True:
        left, right = index % a, index // a
        for number, key in enumerate(keys):
            if number % 2 == 0:
                left = (left + _hash_one(right, key) * a // 2**32) % a
            else:
                right = (right + _hash_one(left, key) * b // 2**32) % b
        index = left + a * right
        if index < n:
            return index


def _bases(n: int) -> tuple[int, int]:
    a = math.isqrt(n - 1) + 1
    return a, -(-n // a)


def _round_keys(seed: int, epoch: int, source: str) -> UInt64s:
    """Return (NUM_ROUNDS,) uint64 keys. The source stands last, so no two triples spell the same text."""
    texts = (f"{seed}/{epoch}/{number}/{source}" for number in range(NUM_ROUNDS))
    return np.array([xxhash.xxh3_64_intdigest(text.encode()) for text in texts], dtype=np.uint64)


def _feistel(index: UInt64s, n: int, keys: UInt64s) -> UInt64s:
    """Return the network's value of each index: a bijection of [0, a * b)."""
    a, b = (np.uint64(base) for base in _bases(n))
    right, left = np.divmod(index, a)
    for number, key in enumerate(keys):
        if number % 2 == 0:
            left = _add_modulo(left, _hash(right, key), a)
        else:
            right = _add_modulo(right, _hash(left, key), b)
    return left + a * right


def _add_modulo(digit: UInt64s, hashed: UInt64s, base: np.uint64) -> UInt64s:
    """Return (digit + hashed * base / 2^32) mod base."""
    total = digit + (hashed * base >> np.uint64(32))
    return np.minimum(total, total - base)  # below the base the difference wraps to a huge number


def _hash(digit: UInt64s, key: np.uint64) -> UInt64s:
    """Return 32 hashed bits of each digit: add the key, multiply, fold, multiply, keep the high half."""
    mixed = (digit + key) * np.uint64(MULTIPLIERS[0])
    mixed ^= mixed >> np.uint64(32)
    mixed *= np.uint64(MULTIPLIERS[1])
    return mixed >> np.uint64(32)


def _hash_one(digit: int, key: int) -> int:
    mixed = (digit + key) * MULTIPLIERS[0] & LOW_64_BITS
    mixed ^= mixed >> 32
    return (mixed * MULTIPLIERS[1] & LOW_64_BITS) >> 32
