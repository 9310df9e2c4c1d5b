"""The kernels that merge sorted runs of counted pieces."""

from __future__ import annotations

from typing import Any

from data_pipeline.compiled import kernel
from data_pipeline.tokenize.byte_kernels import compare_bytes, copy_bytes
from data_pipeline.tokenize.table_kernels import SHORT_BYTES, short_key


@kernel
def compare_pieces(data: Any, start: int, stop: int, others: Any, other_start: int, other_stop: int) -> int:
    """Return -1, 0 or 1 as the first piece comes before the second, is it, or comes after it: short ones first, as
    numbers, then long ones as of `compare_bytes`."""
    size, other_size = stop - start, other_stop - other_start
    if size > SHORT_BYTES and other_size > SHORT_BYTES:
        return compare_bytes(data, start, size, others, other_start, other_size)
    if size > SHORT_BYTES or other_size > SHORT_BYTES:
        return -1 if size < other_size else 1
    key, other = short_key(data, start, stop), short_key(others, other_start, other_stop)
    return int(key > other) - int(key < other)


@kernel
def merge_two(first: Any, second: Any, out: Any) -> tuple[int, int]:
    """Merge two runs, `Counted` all; return how many pieces and bytes are in `out`, which has room for both."""
    number, other, written, at = 0, 0, 0, 0
    while number < first.ends.size or other < second.ends.size:
        start = first.ends[number - 1] if number else 0
        begin = second.ends[other - 1] if other else 0
        if number == first.ends.size:
            order = 1
        elif other == second.ends.size:
            order = -1
        else:
            order = compare_pieces(first.data, start, first.ends[number], second.data, begin, second.ends[other])
        out.counts[at] = 0
        size = 0
        if order <= 0:
            size = first.ends[number] - start
            copy_bytes(first.data, start, size, out.data, written)
            out.counts[at] += first.counts[number]
            number += 1
        if order >= 0:
            size = second.ends[other] - begin
            copy_bytes(second.data, begin, size, out.data, written)
            out.counts[at] += second.counts[other]
            other += 1
        written += size
        out.ends[at] = written
        at += 1
    return at, written
