"""What the tokenizer's kernels do with bytes: words of eight bytes, hashes no one can foresee."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from data_pipeline.compiled import kernel
from data_pipeline.utf8 import eight_bytes

WORD_BYTES = 8


@kernel
def word_at(data: Any, place: int, size: int) -> Any:
    """Return `size` bytes at a place as one number, uint64, the first the lowest; size: 1 to 8."""
    unused = np.uint64(8 * (WORD_BYTES - size))
    if place + WORD_BYTES <= data.size:
        return (eight_bytes(data, place) << unused) >> unused
    word = np.uint64(0)
    for at in range(size):
        word |= np.uint64(data[place + at]) << np.uint64(8 * at)
    return word


@kernel
def hash_bytes(data: Any, start: int, stop: int, first_key: Any, second_key: Any) -> Any:
    """Return a hash of data[start:stop], not empty, uint64; who does not know the keys can't make two that are equal.

    Source: the folded product of wyhash (Wang Yi, 2019), which ahash, the hash of tokenizers' tables, takes as well.
    """
    state = first_key ^ np.uint64(stop - start)
    while stop - start > WORD_BYTES:
        state = folded_product(state ^ eight_bytes(data, start), second_key)
        start += WORD_BYTES
    return folded_product(state ^ word_at(data, start, stop - start), second_key)


@kernel
def compare_bytes(data: Any, start: int, size: int, others: Any, other_start: int, other_size: int) -> int:
    """Return -1, 0 or 1 as the first of two byte strings comes before the second, is it, or comes after it.

    The order is one that is quick to tell, not the alphabet's: by numbers of eight bytes, the last filled up with
    zeros, then by length.
    """
    at = 0
    while at < size and at < other_size:
        first = word_at(data, start + at, min(size - at, WORD_BYTES))
        second = word_at(others, other_start + at, min(other_size - at, WORD_BYTES))
        if first != second:
            return -1 if first < second else 1
        at += WORD_BYTES
    return int(size > other_size) - int(size < other_size)


@kernel
def copy_bytes(data: Any, start: int, size: int, out: Any, at: int) -> None:
    """Copy some bytes into `out`, at a place of it."""
    for number in range(size):
        out[at + number] = data[start + number]


def _fold(typing_context: Any, first: Any, second: Any) -> Any:
    """Give numba the type and the code of `folded_product`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(builder.zext(arguments[0], wide), builder.zext(arguments[1], wide))
        low = builder.trunc(product, ir.IntType(64))
        high = builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))
        return builder.xor(low, high)

    return types.uint64(types.uint64, types.uint64), generate


# (uint64, uint64) -> uint64: the product's upper half and its lower one, each bit of which is to be that of both
folded_product: Any = intrinsic(_fold)
