"""Which documents a tokenizer is trained on: a bounded sample, uniform over the corpus, a pure function of the keys."""

from __future__ import annotations

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def choose(files: np.ndarray, rows: np.ndarray, sizes: np.ndarray, budget_bytes: int, seed: int) -> np.ndarray:
    """Take documents in the order of a hash of their key until their text fills the budget.

    A document's place in that order depends on its own key alone, so neither the number of workers nor the partitions
    nor the order of the arguments changes the sample, and a larger budget only adds to it.

    Args:
        files: (n,) int32 file numbers.
        rows: (n,) int64 rows.
        sizes: (n,) int64 UTF-8 bytes of the texts.
        budget_bytes: the last document taken may exceed it.
        seed: another seed, another sample.
    Returns:
        (k,) int64 positions in the arguments, ascending.
    """
    order = np.lexsort((rows, files, key_hashes(files, rows, seed)))
    ends = np.cumsum(sizes[order], dtype=np.int64)
    count = int(np.searchsorted(ends, budget_bytes, side="left")) + 1
    return np.sort(order[:count]).astype(np.int64)


def key_hashes(files: np.ndarray, rows: np.ndarray, seed: int) -> np.ndarray:
    """Return (n,) uint64 hashes of the documents' keys.

    Source: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), its finaliser applied to seed, file and row in turn.
    """
    state = _mix(np.full(len(files), seed, np.uint64))
    state = _mix(state ^ files.astype(np.uint64))
    return _mix(state ^ rows.astype(np.uint64))


def _mix(values: np.ndarray) -> np.ndarray:
    values = values + _GOLDEN  # wraps at 2^64, as it should
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = values ^ (values >> np.uint64(31))
    return mixed
