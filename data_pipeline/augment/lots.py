"""What is random in copies: numbers that depend on a document's text, a seed and a number alone.

Not on a document's key: a file more, or a line above, would change it. So where equal texts are left (dedup=none), all
of them are chosen or none, and their copies are equal.

A document has one number for each change (`lots_of`, xxh3-64). Of it follow, by SplitMix64 (Steele, Lea and Flood 2014,
"Fast splittable pseudorandom number generators"), the lot that chooses it and the seed of each copy, and of that seed
the numbers of the copy's own stream.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import xxhash

from data_pipeline.compiled import kernel
from data_pipeline.documents import utf8_buffers
from data_pipeline.mix.lots import below

_GAMMA, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB  # SplitMix64's own
_MASK = (1 << 64) - 1
_GAMMA_64, _FIRST_64, _SECOND_64 = np.uint64(_GAMMA), np.uint64(_FIRST), np.uint64(_SECOND)
_30, _27, _31, _11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_UNIT = 2.0**-53


def lots_of(texts: pa.LargeStringArray, seed: int, name: str) -> np.ndarray:
    """Return a number for each text, (n,) uint64; name: of the change, so that two changes choose independently."""
    data, offsets = utf8_buffers(texts)
    view, salt = data.data, xxhash.xxh3_64_intdigest(name.encode(), seed)
    spans = zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
    return np.fromiter((xxhash.xxh3_64_intdigest(view[start:stop], salt) for start, stop in spans), np.uint64)


def chosen(lots: np.ndarray, frac: float) -> np.ndarray:
    """Return which documents are chosen, (n,) bool; lots: (n,) uint64, as of `lots_of`."""
    return below(nth(lots, np.zeros(len(lots), np.uint64)), frac)


def seeds_of(lots: np.ndarray, copy: int) -> np.ndarray:
    """Return the seed of each document's copy, (n,) uint64; copy: its number, from 1."""
    return nth(lots, np.full(len(lots), copy, np.uint64))


def nth(seeds: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the number at a place, from 0, of each seed's stream, (n,) uint64; seeds, places: (n,) uint64."""
    value = seeds + (places + np.uint64(1)) * _GAMMA_64
    value = (value ^ (value >> _30)) * _FIRST_64
    value = (value ^ (value >> _27)) * _SECOND_64
    mixed: np.ndarray = value ^ (value >> _31)
    return mixed


def units(numbers: np.ndarray) -> np.ndarray:
    """Return such numbers as numbers in [0, 1), (n,) float64."""
    scaled: np.ndarray = (numbers >> _11) * _UNIT
    return scaled


def unit_one(seed: int, place: int) -> float:
    """Return the number in [0, 1) at a place, from 0, of a seed's stream: the reference."""
    value = (seed + (place + 1) * _GAMMA) & _MASK
    value = (value ^ (value >> 30)) * _FIRST & _MASK
    value = (value ^ (value >> 27)) * _SECOND & _MASK
    return ((value ^ (value >> 31)) >> 11) * _UNIT


@kernel
def unit(seed: Any, place: Any) -> float:
    """Return the number in [0, 1) at a place, from 0, of a seed's stream; seed, place: uint64."""
    value = seed + (place + np.uint64(1)) * _GAMMA_64
    value = (value ^ (value >> _30)) * _FIRST_64
    value = (value ^ (value >> _27)) * _SECOND_64
    return np.float64((value ^ (value >> _31)) >> _11) * _UNIT
