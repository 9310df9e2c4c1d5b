"""What kernels of all rooms read of UTF-8: a character at a place, one before it, eight bytes at one blow."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from data_pipeline.compiled import kernel


@kernel
def decode(data: Any, place: int) -> tuple[Any, int]:
    """Return the code point at `place` of valid UTF-8, and its size in bytes."""
    first = np.int64(data[place])
    if first < 0x80:
        return first, 1
    if first < 0xE0:
        return (first & 0x1F) << 6 | (data[place + 1] & 0x3F), 2
    if first < 0xF0:
        return (first & 0x0F) << 12 | (data[place + 1] & 0x3F) << 6 | (data[place + 2] & 0x3F), 3
    upper = (first & 0x07) << 18 | (data[place + 1] & 0x3F) << 12
    return upper | (data[place + 2] & 0x3F) << 6 | (data[place + 3] & 0x3F), 4


@kernel
def decode_last(data: Any, start: int, stop: int) -> tuple[Any, int]:
    """Return the last code point of data[start:stop], which is not empty, and where it begins."""
    place = stop - 1
    while place > start and data[place] & 0xC0 == 0x80:
        place -= 1
    return decode(data, place)[0], place


def _load(typing_context: Any, data: Any, place: Any) -> Any:
    """Give numba the type and the code of `eight_bytes`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        pointer = builder.bitcast(builder.gep(array.data, [arguments[1]]), ir.IntType(64).as_pointer())
        loaded = builder.load(pointer)
        loaded.align = 1
        return loaded

    return types.uint64(data, place), generate


# (data, place) -> uint64: the eight bytes at a place of a uint8 array at one blow, aligned or not; all must be there
eight_bytes: Any = intrinsic(_load)
