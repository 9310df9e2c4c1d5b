"""The second pass to shards: one shard, put together cell by cell from the encoded parts, checked and counted."""

from __future__ import annotations

import itertools
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data_pipeline.documents import COPY_SHIFT
from data_pipeline.records import Part
from data_pipeline.shards.health import Tally
from data_pipeline.shards.kernels import count_tokens, gather
from data_pipeline.shards.manifest import documents_path
from data_pipeline.shards.writer import SUFFIXES, Sharder, cuts
from data_pipeline.stages.encoded import checks_of, index_path, origin_checks, tokens_path
from data_pipeline.stages.shard_plan import ShardItem
from data_pipeline.storage import DamagedFile, read_arrays, room_for, write_arrays, write_table
from foundation.hashes import hash_file


@dataclass(frozen=True, slots=True)
class Assemble:
    """Runs in a worker: writes a shard, the table of its documents, and the counts of its ids.

    Attributes:
        folder: of the encoded parts; the counts go there too.
        shards: the folder of the shards.
        dtype: of the tokens on disk.
        is_blank: (vocabulary,) bool, ids whose text is white space.
    """

    folder: Path
    shards: Path
    sharder: Sharder
    dtype: np.dtype[Any]
    is_blank: np.ndarray

    def __call__(self, item: ShardItem) -> Part:
        prefix = self.shards / item.split / item.name
        tally, origins = Tally.empty(len(self.is_blank)), _Origins(self.folder, item)
        bounds = cuts(item.lengths, self.sharder.cell_bytes // self.dtype.itemsize)
        cells = np.add.reduceat(item.lengths, bounds[:-1], dtype=np.int64)
        num_bytes = int(cells.sum()) * self.dtype.itemsize
        buffers = [np.empty(int(cells.max()), self.dtype) for _ in range(2)]  # once: fresh pages cost as much as copies
        with room_for(prefix, num_bytes), self.sharder.shard_writer(prefix, self.dtype) as writer:
            for first, stop in itertools.pairwise(bounds):
                tokens, lengths = self._cell(item, first, stop, *buffers), item.lengths[first:stop]
                origins.check(checks_of(tokens, lengths), first)
                tally.repeated += count_tokens(tokens, lengths, tally.counts, self.is_blank)
                writer.add(tokens, lengths)
            write_table(documents_path(prefix), origins.table())  # first: a shard with its .sum is whole
            info = replace(writer.finish(), documents_hash=hash_file(documents_path(prefix)))
        tally.add_lengths(item.lengths)
        longest = int(np.argmax(item.lengths))
        used = np.flatnonzero(tally.counts)
        counts_file = counts_path(self.folder, item.split, item.name)
        write_arrays(counts_file, {"ids": used, "counts": tally.counts[used], "lengths": tally.lengths})
        facts = {
            "shard": asdict(info),
            "repeated": tally.repeated,
            "longest": [int(item.lengths[longest]), origins.id_of(longest)],
        }
        files = [prefix.with_name(prefix.name + suffix) for suffix in SUFFIXES]
        return Part(facts, [*files, documents_path(prefix), counts_file])

    def _cell(self, item: ShardItem, first: int, stop: int, buffer: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Return the tokens of some documents, one after the other: each part's are one run of its file.

        Args:
            buffer, out: of the dtype, large enough for them; what is returned is the beginning of `out`.
        """
        parts, starts, lengths = (array[first:stop] for array in (item.parts, item.starts, item.lengths))
        by_part = np.argsort(parts, kind="stable")
        numbers, begins = np.unique(parts[by_part], return_index=True)
        ends = np.append(begins[1:], len(by_part)) - 1
        places = np.empty(len(parts), np.int64)  # where each begins in the buffer
        place = 0
        for number, begin, end in zip(numbers.tolist(), begins.tolist(), ends.tolist(), strict=True):
            mine = by_part[begin : end + 1]
            run = slice(int(starts[mine[0]]), int(starts[mine[-1]]) + int(lengths[mine[-1]]))
            places[mine] = starts[mine] - run.start + place
            size = run.stop - run.start
            _read(tokens_path(self.folder, item.partitions[number]), run.start, buffer[place : place + size])
            place += size
        gather(buffer, places, lengths, out)
        return out[:place]


class _Origins:
    """Where the documents of a shard come from, in its order."""

    def __init__(self, folder: Path, item: ShardItem) -> None:
        self._folder, self._item = folder, item
        # one index is open at a time: there may be more partitions than a process may have files open
        found = [
            _read_origins(index_path(folder, name), int(first), int(count))
            for name, first, count in zip(item.partitions, item.first_rows, item.num_rows, strict=True)
        ]
        by_part = np.argsort(item.parts, kind="stable")  # the rows of a part stand in the shard's order
        places = np.empty_like(by_part)
        places[by_part] = np.arange(len(by_part))
        self._rows = pa.Table.from_batches([rows for rows, _ in found]).take(pa.array(places)).combine_chunks()
        self._checks = np.concatenate([checks for _, checks in found])[places]

    def check(self, of_tokens: np.ndarray, first: int) -> None:
        """Hold documents against their checksums; of_tokens: those of the tokens that were read, from `first` on.

        Raises:
            DamagedFile: they, or where they come from, are not what was written; names the partition.
        """
        stop = first + len(of_tokens)
        is_wrong = of_tokens + self._checks[first:stop] != self._item.checks[first:stop]
        if is_wrong.any():
            place = first + int(np.argmax(is_wrong))
            path = tokens_path(self._folder, self._item.partitions[self._item.parts[place]])
            raise DamagedFile(
                f"{path}: the document {self.id_of(place)!r} is not what was written, here or in "
                f"{path.with_suffix('.arrow').name}; remove its folder and run again"
            )

    def table(self) -> pa.Table:
        """Return source_file, row and id of each document."""
        names, rows, ids = (self._rows.column(name) for name in ("source_file", "row", "id"))
        of_record = rows.to_numpy() & (1 << COPY_SHIFT) - 1  # a copy's is its document's
        columns = {"source_file": names.dictionary_encode(), "row": pa.array(of_record), "id": ids.cast(pa.string())}
        return pa.table(columns)

    def id_of(self, place: int) -> str:
        """Return the id of a document of the shard."""
        identifier: str = self._rows.column("id")[place].as_py()
        return identifier


def _read_origins(path: Path, first: int, count: int) -> tuple[pa.RecordBatch, np.ndarray]:
    """Return source_file, row and id of some documents of a part, copied, and their checksums."""
    with pa.memory_map(str(path)) as file:
        piece = pa.ipc.open_file(file).get_batch(0).select(["source_file", "row", "id"]).slice(first, count)
        plain = piece.set_column(0, "source_file", piece.column("source_file").dictionary_decode())
        return plain.take(pa.array(np.arange(count))), origin_checks(piece)


def _read(path: Path, first: int, out: np.ndarray) -> None:
    """Read tokens from `first` on into `out`."""
    with path.open("rb", buffering=0) as file:
        view, offset = out.data.cast("B"), first * out.itemsize
        while view:
            count = os.preadv(file.fileno(), [view], offset)
            if not count:
                raise DamagedFile(f"{path}: cut short; remove its folder and run again")
            view, offset = view[count:], offset + count


def counts_path(folder: Path, split: str, shard: str) -> Path:
    """Return the file of how often each id occurs in a shard."""
    return folder / split / f"{shard}.npz"


def read_tally(folder: Path, split: str, facts: dict[str, Any], vocab_size: int) -> Tally:
    """Return what was counted of a shard; facts: those of its part."""
    arrays = read_arrays(counts_path(folder, split, facts["shard"]["name"]))
    counts = np.zeros(vocab_size, np.int64)
    counts[arrays["ids"]] = arrays["counts"]
    tokens, identifier = facts["longest"]
    return Tally(counts, facts["repeated"], arrays["lengths"], (tokens, identifier))
