"""The shingle sets of many documents, end to end: made where the texts are, compared where the decision is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from data_pipeline.compiled import array_kernel
from data_pipeline.dedup.shingles import shingle_set
from data_pipeline.dedup.words import join_words


class Sets(NamedTuple):
    """The set of document i is hashes[starts[i] : starts[i + 1]].

    Attributes:
        hashes: (h,) uint64, of each document sorted, without repeats.
        starts: (documents + 1,) int64.
    """

    hashes: np.ndarray
    starts: np.ndarray


NO_SETS = Sets(np.zeros(0, np.uint64), np.zeros(1, np.int64))


class AnySets(Protocol):
    """Sets that may lie on disk: `Sets`, or what reads them."""

    @property
    def hashes(self) -> np.ndarray: ...

    @property
    def starts(self) -> np.ndarray: ...


def shingle_sets(texts: pa.LargeStringArray, ngram: int) -> Sets:
    """Return the sets of these documents; ngram: words per shingle."""
    sets = [shingle_set(words, ngram) for words in join_words(texts)]
    starts = np.cumsum([0, *map(len, sets)], dtype=np.int64)
    return Sets(np.concatenate([np.zeros(0, np.uint64), *sets]), starts)


def num_shingles(parts: Sequence[AnySets]) -> np.ndarray:
    """Return the size of each set of all parts laid end to end, (n,) int64."""
    return np.concatenate([np.zeros(0, np.int64), *(np.diff(part.starts) for part in parts)])


def sets_at(parts: Sequence[AnySets], places: np.ndarray) -> Sets:
    """Return the sets at (m,) int64 places of all parts laid end to end, in that order."""
    ends = np.cumsum([len(part.starts) - 1 for part in parts])
    part_of = np.searchsorted(ends, places, side="right")
    lengths = np.zeros(len(places), np.int64)
    chosen = []
    for number in np.unique(part_of).tolist():
        here = np.flatnonzero(part_of == number)
        rows = places[here] - (ends[number] - len(parts[number].starts) + 1)
        lengths[here] = np.diff(parts[number].starts)[rows]
        chosen.append((parts[number], rows, here))
    starts = np.concatenate([[0], np.cumsum(lengths)])
    hashes = np.empty(starts[-1], np.uint64)
    for part, rows, here in chosen:
        _copy(part.hashes, part.starts, rows, hashes, starts[here])
    return Sets(hashes, starts)


@array_kernel
def _copy(hashes: np.ndarray, starts: np.ndarray, rows: np.ndarray, to: np.ndarray, at: np.ndarray) -> None:
    """Copy the sets of these rows, each to its place."""
    for i in range(len(rows)):
        size = starts[rows[i] + 1] - starts[rows[i]]
        to[at[i] : at[i] + size] = hashes[starts[rows[i]] : starts[rows[i]] + size]
