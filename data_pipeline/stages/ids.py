"""Ids that documents of one source share. Nothing here goes by an id, but whoever joins by it later has to know."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import xxhash

from data_pipeline.stages.view import CLEAN, Partition
from data_pipeline.storage import read_arrays, write_arrays


def ids_path(work: Path, partition: str) -> Path:
    """Return the file of the hashes of a partition's ids."""
    return work / CLEAN / f"{partition}.ids.npz"


def write_ids(path: Path, ids: pa.LargeStringArray) -> None:
    """Write the 64-bit hash of each id, `hashes`: (documents,) uint64."""
    hashes = [xxhash.xxh3_64_intdigest(each) for each in ids.cast(pa.large_binary()).to_pylist()]
    write_arrays(path, {"hashes": np.array(hashes, np.uint64)})


def num_repeated(work: Path, partitions: Iterable[Partition]) -> int:
    """Return how many documents of these partitions have the id of another one before them.

    It holds 9 bytes a document while it counts, less than half of what the stages hold of each anyway (`View`). Hashes
    of two ids may agree by chance: among 10^9 documents that is expected 0.03 times.
    """
    parts = list(partitions)
    hashes = np.empty(sum(each.num_docs for each in parts), np.uint64)
    place = 0
    for each in parts:
        hashes[place : place + each.num_docs] = read_arrays(ids_path(work, each.name))["hashes"]
        place += each.num_docs
    hashes.sort()
    return int(np.count_nonzero(hashes[1:] == hashes[:-1]))
