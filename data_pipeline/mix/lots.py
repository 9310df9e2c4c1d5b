"""Lots: a number a document, drawn from what no other source and no other file changes.

A document's place is (source, name of its file within the source, row in it). The number of its file, which its key
has, would change with every file that is sorted before it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
import xxhash

from data_pipeline.documents import hash_pairs
from foundation.files import canonical_json

_MASK = (1 << 64) - 1


def file_lots(purpose: str, seed: int, names: Sequence[tuple[str, str]]) -> np.ndarray:
    """Return what the lots of each file's documents hang on, (files,) uint64.

    Args:
        purpose: what is decided by them: decisions of one seed must not choose the same documents.
        seed: in [0, 2^64).
        names: source and name within it, of each file.
    """
    hashes = (xxhash.xxh3_64_intdigest(canonical_json([purpose, *name]), seed) for name in names)
    return np.fromiter(hashes, np.uint64, len(names))


def lots(of_files: np.ndarray, files: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the documents' lots, (n,) uint64, evenly spread.

    Args:
        of_files: as `file_lots` returns them.
        files: (n,) integers, places in `of_files`.
        rows: (n,) int64 rows in the files.
    """
    _, low = hash_pairs(of_files[files], rows.astype(np.int64).view(np.uint64))
    return low


def lot(purpose: str, seed: int, name: tuple[str, str], row: int) -> int:
    """Return the lot of one document: what `lots` does to many, in plain Python."""
    of_file = xxhash.xxh3_64_intdigest(canonical_json([purpose, *name]), seed)
    return xxhash.xxh3_128_intdigest(struct.pack("<QQ", of_file, row)) & _MASK


def below(values: np.ndarray, frac: float) -> np.ndarray:
    """Return which lots lie in the first `frac` of all that there may be, (n,) bool; frac in [0, 1]."""
    limit = int(frac * 2**64)
    chosen: np.ndarray = np.ones(len(values), bool) if limit > _MASK else values < np.uint64(limit)
    return chosen
