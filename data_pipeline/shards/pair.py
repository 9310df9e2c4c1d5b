"""A pair of Megatron's `.bin` and `.idx` that no sums vouch for: its numbers are held against each other.

The numbers of our own follow from the lengths, and a hash holds them to that: who trains asks nothing of this.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data_pipeline.shards.errors import DamagedShard, ShardError
from data_pipeline.shards.index import Index, read_index

REMEDY = "copy both files again from their origin, or have their writer make them anew"


def open_pair(path: Path) -> tuple[Path, Index]:
    """Return the `.bin` of a pair, and its index.

    Args:
        path: either file, or what both names begin with.
    Raises:
        ShardError: a file is missing, or the index is of a form that we don't read.
        DamagedShard: a length is negative, documents don't ascend, sequences don't stand end to end, or the `.bin` is
            of another size; names the first place.
    """
    prefix = path.with_suffix("") if path.suffix in (".bin", ".idx") else path
    tokens, idx = (prefix.with_name(f"{prefix.name}{suffix}") for suffix in (".bin", ".idx"))
    if not tokens.is_file():
        raise ShardError(f"{tokens}: is no file; Megatron's shards are a .bin and its .idx", REMEDY)
    try:
        index = read_index(idx)
    except ShardError as error:
        raise type(error)(error.problem, REMEDY) from error
    _check_lengths(idx, index)
    _check_documents(idx, index)
    _check_offsets(idx, index)
    size, expected = tokens.stat().st_size, int(index.lengths.sum(dtype=np.int64)) * index.dtype.itemsize
    if size != expected:
        why = "it was cut short, or the two belong to different shards"
        raise DamagedShard(f"{tokens}: {size:,} bytes, the lengths in its .idx make {expected:,}: {why}", REMEDY)
    return tokens, index


def _check_lengths(idx: Path, index: Index) -> None:
    place = _first(index.lengths < 0)
    if place is not None:
        raise DamagedShard(f"{idx}: sequence {place:,} has {index.lengths[place]:,} tokens; it has 0 or more", REMEDY)


def _check_documents(idx: Path, index: Index) -> None:
    begins, most = index.boundaries, len(index.lengths)
    falls = np.append(False, begins[1:] < begins[:-1])
    place = _first((begins < 0) | (begins > most) | falls)
    if place is not None:
        allowed = f"documents begin in ascending order within 0 to {most:,}"
        raise DamagedShard(f"{idx}: document {place:,} begins at sequence {begins[place]:,}; {allowed}", REMEDY)


def _check_offsets(idx: Path, index: Index) -> None:
    expected = np.zeros(len(index.lengths), np.int64)
    np.cumsum(index.lengths[:-1], out=expected[1:])
    expected *= index.dtype.itemsize
    place = _first(index.offsets != expected)
    if place is not None:
        raise DamagedShard(
            f"{idx}: sequence {place:,} begins at byte {index.offsets[place]:,} of the .bin; the lengths before it "
            f"make that {expected[place]:,}",
            REMEDY,
        )


def _first(wrong: np.ndarray) -> int | None:
    """Return the first place at which `wrong`, (n,) bool, holds; None: at none."""
    return int(np.argmax(wrong)) if wrong.any() else None
