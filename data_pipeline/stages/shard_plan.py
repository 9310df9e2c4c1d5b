"""Which documents each shard holds, in which order: known from the lots and lengths of the encoded parts alone.

Held at a time: 48 bytes a document of one source, at most 92 of one component while its shards are planned (measured,
5 million documents).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.shards.writer import cuts
from data_pipeline.stages.encoded import in_order, index_path
from data_pipeline.storage import read_batch
from foundation.hashes import hash_bytes, hash_json


@dataclass(frozen=True, slots=True)
class Encoded:
    """An encoded partition. Attributes: index_hash: of its `.arrow`; runs: as its facts have them, in their order."""

    name: str
    index_hash: str
    runs: list[dict[str, Any]]


@dataclass(frozen=True, slots=True, eq=False)
class ShardItem:
    """One shard to put together.

    Attributes:
        component: whose it is; name: of the shard.
        partitions: whose documents it holds.
        first_rows: (partitions,) int64, the row of its first document in each one's index; num_rows: how many follow.
        parts: (documents,) int32, by the shard's order: the place in `partitions` of each document's.
        starts: (documents,) int64, the place of its first token in that one's file.
        lengths: (documents,) int32. checks: (documents,) uint64.
        key: hash of all that its bytes depend on beside the code and the settings.
    """

    split: str
    component: str
    name: str
    partitions: list[str]
    first_rows: np.ndarray
    num_rows: np.ndarray
    parts: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    checks: np.ndarray
    key: str


class _Parts:
    """The documents of one split and component, partition by partition."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.hashes: list[str] = []
        self.first_rows: list[int] = []
        self.columns: dict[str, list[np.ndarray]] = {
            name: [] for name in ("parts", "starts", "lengths", "checks", "lots", "files", "rows")
        }

    def add(self, encoded: Encoded, first_row: int, columns: dict[str, np.ndarray]) -> None:
        number, num_docs = len(self.names), len(columns["rows"])
        self.names.append(encoded.name)
        self.hashes.append(encoded.index_hash)
        self.first_rows.append(first_row)
        for name, column in {**columns, "parts": np.full(num_docs, number, np.int32)}.items():
            self.columns[name].append(column)

    def shards(self, split: str, component: str, max_tokens: int) -> Iterator[ShardItem]:
        """Yield the shards; max_tokens: of each."""
        columns = {name: np.concatenate(self.columns.pop(name)) for name in list(self.columns)}  # one at a time
        lots, files, rows = (columns.pop(name) for name in ("lots", "files", "rows"))
        order = in_order(lots, files, rows)
        del lots, files, rows
        first_rows, hashes = np.array(self.first_rows, np.int64), np.array(self.hashes)
        bounds = cuts(columns["lengths"][order], max_tokens)
        for number, (first, stop) in enumerate(itertools.pairwise(bounds)):
            chosen = order[first:stop]
            used, parts, num_rows = np.unique(columns["parts"][chosen], return_inverse=True, return_counts=True)
            starts, lengths, checks = (columns[name][chosen] for name in ("starts", "lengths", "checks"))
            parts = parts.astype(np.int32)
            begins, first_rows[used] = first_rows[used], first_rows[used] + num_rows
            contents = [hash_bytes(array.data) for array in (parts, starts, lengths, checks)]
            key = [component, hashes[used].tolist(), begins.tolist(), contents]
            name = f"{component}_{number:05d}"
            names = [self.names[place] for place in used.tolist()]
            yield ShardItem(
                split=split,
                component=component,
                name=name,
                partitions=names,
                first_rows=begins,
                num_rows=num_rows,
                parts=parts,
                starts=starts,
                lengths=lengths,
                checks=checks,
                key=hash_json(key),
            )


def plan_shards(folder: Path, encoded: Sequence[Encoded], max_tokens: int) -> Iterator[ShardItem]:
    """Yield the shards of one source, split by split and component by component.

    Args:
        folder: of the parts.
        encoded: its partitions, in the corpus's order.
        max_tokens: of a shard; one longer document makes one of its own.
    Raises:
        DamagedFile: an index is not what was written.
    """
    found: dict[tuple[str, str], _Parts] = {}
    files: dict[str, int] = {}
    for each in encoded:
        path, wanted = index_path(folder, each.name), ("lot", "length", "check", "source_file", "row")
        index = read_batch(path, each.index_hash, *wanted)
        names = index.column("source_file")
        numbers = np.array([files.setdefault(name, len(files)) for name in names.dictionary.to_pylist()], np.int32)
        # copies: the columns lie in the bytes of the whole file, ids and all
        lengths, checks, lots, rows = (
            index.column(name).to_numpy().copy() for name in ("length", "check", "lot", "row")
        )
        arrays = {
            "starts": np.cumsum(lengths, dtype=np.int64) - lengths,
            "lengths": lengths,
            "checks": checks,
            "lots": lots,
            "files": numbers[names.indices.to_numpy()],
            "rows": rows,
        }
        row = 0
        for run in each.runs:
            mine = slice(row, row + run["documents"])
            parts = found.setdefault((run["split"], run["component"]), _Parts())
            parts.add(each, row, {name: column[mine] for name, column in arrays.items()})
            row = mine.stop
    for split, component in sorted(found):
        yield from found.pop((split, component)).shards(split, component, max_tokens)
