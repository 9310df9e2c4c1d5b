"""Content hashes. xxh3-128 everywhere: it guards against faults (flipped bits, cut files), not against forgery."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from foundation.files import canonical_json

BLOCK_BYTES = 64 * 1024  # the grain at which shards and checkpoint chunks are verified
READ_BYTES = 1 << 20


def hash_bytes(data: bytes | bytearray | memoryview) -> str:
    """Return the xxh3-128 of `data` as 32 hex digits."""
    return xxhash.xxh3_128_hexdigest(data)


def hash_json(value: Any) -> str:
    """Return the hash of a JSON value, the same for any order of its keys."""
    return hash_bytes(canonical_json(value))


def hash_file(path: Path) -> str:
    """Return the hash of a file's bytes, read in pieces of 1 MiB.

    Raises:
        OSError: the file can't be read.
    """
    state = xxhash.xxh3_128()
    with path.open("rb") as file:
        while piece := file.read(READ_BYTES):
            state.update(piece)
    return state.hexdigest()


# of xxh3-128 for inputs of 9 to 16 bytes and seed 0. Source: xxHash 0.8, doc/xxhash_spec.md, "XXH3 Algorithm Overview"
_FLIP_LOW = np.uint64(0x78E5C0CC4EE679CB ^ 0x2172FFCC7DD05A82)  # of its default secret, bytes 32 to 48
_FLIP_HIGH = np.uint64(0x8E2443F7744608B8 ^ 0x4C263A81E69035E0)  # bytes 48 to 64
_PRIME32_2 = np.uint64(0x85EBCA77)
_PRIME64_1, _PRIME64_2 = np.uint64(0x9E3779B185EBCA87), np.uint64(0xC2B2AE3D27D4EB4F)
_PRIME_MX1 = np.uint64(0x165667919E3779F9)
_LOW_HALF, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


def hash_pairs(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the xxh3-128 of the 16 bytes of each pair of integers, little-endian, as `xxhash.xxh3_128_intdigest` does.

    Args:
        first, second: (n,) uint64.
    Returns:
        high, low: (n,) uint64 each, the halves of the hashes.
    """
    high, low = _multiply(first ^ second ^ _FLIP_LOW, _PRIME64_1)
    low = low + np.uint64((16 - 1) << 54)
    second = second ^ _FLIP_HIGH
    high = high + second + (second & _LOW_HALF) * (_PRIME32_2 - np.uint64(1))
    low = low ^ high.byteswap()
    carried, low = _multiply(low, _PRIME64_2)
    return _avalanche(carried + high * _PRIME64_2), _avalanche(low)


def _multiply(values: np.ndarray, factor: np.uint64) -> tuple[np.ndarray, np.ndarray]:
    """Return the upper and the lower 64 bits of products, by halves as in long multiplication."""
    low, high = values & _LOW_HALF, values >> _HALF
    factor_low, factor_high = factor & _LOW_HALF, factor >> _HALF
    cross = high * factor_low + (low * factor_low >> _HALF)
    middle = low * factor_high + (cross & _LOW_HALF)
    return high * factor_high + (cross >> _HALF) + (middle >> _HALF), values * factor


def _avalanche(values: np.ndarray) -> np.ndarray:
    values = (values ^ (values >> np.uint64(37))) * _PRIME_MX1
    mixed: np.ndarray = values ^ (values >> _HALF)
    return mixed
