"""Writes shards: tokens are streamed to disk and hashed on the way, and a shard is whole or absent.

A temporary file has a fixed name, so that a run after a kill overwrites it: one process writes a folder (see
foundation.files.folder_lock). The `.sum` is renamed last: a shard that has one is whole.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np

from data_pipeline.shards.alarms import Alarms, TokenAlarm
from data_pipeline.shards.errors import ShardError
from data_pipeline.shards.index import dtype_for, index_bytes
from data_pipeline.shards.manifest import Manifest, ShardInfo
from data_pipeline.shards.sums import BlockHasher
from foundation.errors import ConfigError, require
from foundation.files import sync_dir, sync_file
from foundation.hashes import BLOCK_BYTES, hash_bytes

SUFFIXES = (".bin", ".idx", ".sum")


class ShardWriter:
    """One shard that is written. As a context manager, leaving it without `finish` leaves no shard.

    Its file is open only while documents are added: a corpus in thousands of groups has as many writers at a time.

    Args:
        prefix: path without suffix; its last part is the shard's name.
        dtype: of the tokens on disk, uint16 or int32.
    """

    def __init__(self, prefix: Path, dtype: np.dtype[Any]) -> None:
        self.prefix, self.dtype = prefix, dtype
        self.num_tokens = 0
        self._lengths: list[np.ndarray] = []
        self._hasher = BlockHasher()
        prefix.parent.mkdir(parents=True, exist_ok=True)
        self._temporary(".bin").write_bytes(b"")

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove what `finish` has not made a shard."""
        for suffix in SUFFIXES:
            self._temporary(suffix).unlink(missing_ok=True)

    def add(self, ids: np.ndarray, lengths: np.ndarray) -> None:
        """Append documents.

        Args:
            ids: (num_tokens,) integers, the documents end to end, each with its end-of-text token.
            lengths: (num_documents,) int32, tokens of each; they add up to the ids.
        Raises:
            ShardError: an id does not fit the dtype.
        """
        total = int(lengths.sum(dtype=np.int64))
        assert total == ids.size, f"{self.prefix.name}: lengths of {total:,} tokens for {ids.size:,} ids"
        if total:  # an array without elements has no bytes to view
            data = np.ascontiguousarray(self._cast(ids)).data.cast("B")
            with self._temporary(".bin").open("ab") as file:
                file.write(data)
            self._hasher.update(data)
        self._lengths.append(lengths.astype("<i4"))
        self.num_tokens += total

    def finish(self) -> ShardInfo:
        """Write the index and the sums, flush all three files to disk and give them their names.

        Raises:
            OSError: the disk is full or fails; no shard appears.
        """
        lengths = np.concatenate([np.zeros(0, "<i4"), *self._lengths])
        idx = index_bytes(self.dtype, lengths)
        sums = self._hasher.sums(idx).to_bytes()
        self._temporary(".idx").write_bytes(idx)
        self._temporary(".sum").write_bytes(sums)
        for suffix in SUFFIXES:
            sync_file(self._temporary(suffix))
        for suffix in SUFFIXES:
            self._temporary(suffix).replace(self.prefix.with_name(self.prefix.name + suffix))
        sync_dir(self.prefix.parent)
        return ShardInfo(self.prefix.name, self.num_tokens, len(lengths), hash_bytes(sums))

    def _cast(self, ids: np.ndarray) -> np.ndarray:
        limits = np.iinfo(self.dtype)
        if ids.dtype != self.dtype and ids.size and not limits.min <= ids.min() <= ids.max() <= limits.max:
            raise ShardError(
                f"{self.prefix.name}: token id {ids.max()} does not fit {self.dtype.name} (at most {limits.max})",
                "set shards.dtype=auto or int32",
            )
        return ids.astype(self.dtype, copy=False)

    def _temporary(self, suffix: str) -> Path:
        return self.prefix.with_name(f".{self.prefix.name}{suffix}.tmp")


class SourceWriter:
    """The shards of one source in one split, `<source>_00000`, `<source>_00001`, ...: cut by size, at documents' ends.

    Where it cuts depends on the documents alone, not on how they are batched. Use as a context manager.

    Args:
        folder: e.g. `shards/train`.
        source: the source's name.
        dtype: of the tokens on disk.
        max_shard_bytes: size of a `.bin`; one longer document makes a longer shard of its own.
    """

    def __init__(self, folder: Path, source: str, dtype: np.dtype[Any], max_shard_bytes: int) -> None:
        self._folder, self._source, self._dtype = folder, source, dtype
        self._max_tokens = max_shard_bytes // dtype.itemsize
        self._finished: list[ShardInfo] = []
        self._writer: ShardWriter | None = None

    def __enter__(self) -> SourceWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    def add(self, ids: np.ndarray, lengths: np.ndarray) -> None:
        """Append documents; arguments and errors are those of ShardWriter.add."""
        ends = np.cumsum(lengths, dtype=np.int64)
        assert ids.size == (ends[-1] if len(ends) else 0), f"{self._source}: {lengths.sum()} tokens for {ids.size} ids"
        done = 0
        while done < len(lengths):
            writer = self._open()
            begin = int(ends[done - 1]) if done else 0
            stop = next_cut(ends, done, self._max_tokens - writer.num_tokens)
            if stop == done and writer.num_tokens:
                self._close()
                continue
            stop = max(stop, done + 1)
            writer.add(ids[begin : int(ends[stop - 1])], lengths[done:stop])
            done = stop

    def finish(self) -> list[ShardInfo]:
        """Finish the last shard and return all of them, in order; none when there was no document."""
        self._close()
        return self._finished

    def _open(self) -> ShardWriter:
        if self._writer is None:
            prefix = self._folder / f"{self._source}_{len(self._finished):05d}"
            self._writer = ShardWriter(prefix, self._dtype)
        return self._writer

    def _close(self) -> None:
        if self._writer is not None:
            self._finished.append(self._writer.finish())
            self._writer = None


def next_cut(ends: np.ndarray, first: int, max_tokens: int) -> int:
    """Return the document before which a run from document `first` on ends, which holds at most so many tokens.

    It is `first` where not even that one fits.

    Args:
        ends: (documents,) int64, the sums of the documents' tokens up to each.
    """
    begin = int(ends[first - 1]) if first else 0
    return max(int(np.searchsorted(ends, begin + max_tokens, side="right")), first)


def cuts(lengths: np.ndarray, max_tokens: int) -> list[int]:
    """Return where documents are cut into shards, as `SourceWriter` does it: the first document of each, then the end.

    Args:
        lengths: (documents,) int32, tokens of each.
        max_tokens: of a shard; one longer document makes one of its own.
    """
    ends, found = np.cumsum(lengths, dtype=np.int64), [0]
    while found[-1] < len(lengths):
        found.append(max(next_cut(ends, found[-1], max_tokens), found[-1] + 1))
    return found


class Sharder:
    """What `shards=` builds: the form of the shards.

    Args:
        dtype: of the tokens on disk; `auto` is Megatron's rule, uint16 for less than 65,500 entries, else int32.
        max_shard_bytes: size of a `.bin` in bytes, at which the next shard begins.
        shuffle: whether the documents of each source stand in a random order; else in the corpus's.
        seed: of that order, from 0 to below 2^64.
        cell_bytes: tokens that a worker holds at a time while it puts a shard together, in bytes; about twice as many
            are in its memory.
        alarms: limits on what the tokens are like; None takes the usual ones.
        on_alarm: `warn` prints a line for each limit that is passed, `stop` gives an error before the folder is usable.
    Raises:
        SettingError: max_shard_bytes is less than one block, or another number can't be.
    """

    def __init__(
        self,
        dtype: Literal["auto", "uint16", "int32"] = "auto",
        max_shard_bytes: int = 1 << 30,
        shuffle: bool = True,
        seed: int = 0,
        cell_bytes: int = 64 << 20,
        alarms: Alarms | None = None,
        on_alarm: Literal["warn", "stop"] = "warn",
    ) -> None:
        allowed = f"what one file may hold, at least a block of {BLOCK_BYTES:,} bytes, e.g. 1073741824"
        require(max_shard_bytes >= BLOCK_BYTES, "max_shard_bytes", max_shard_bytes, allowed)
        require(0 <= seed < 2**64, "seed", seed, "a number from 0 to below 2^64")
        allowed = f"bytes of memory, at least a block of {BLOCK_BYTES:,}; 67108864 is usual"
        require(cell_bytes >= BLOCK_BYTES, "cell_bytes", cell_bytes, allowed)
        self.dtype, self.max_shard_bytes, self.shuffle, self.seed = dtype, max_shard_bytes, shuffle, seed
        self.cell_bytes, self.alarms, self.on_alarm = cell_bytes, alarms or Alarms(), on_alarm

    def dtype_for(self, vocab_size: int) -> np.dtype[Any]:
        """Return the dtype of the tokens on disk.

        Raises:
            ConfigError: the vocabulary does not fit the dtype that was set.
        """
        if self.dtype == "auto":
            return dtype_for(vocab_size)
        dtype = np.dtype("<u2") if self.dtype == "uint16" else np.dtype("<i4")
        if vocab_size - 1 > np.iinfo(dtype).max:
            raise ConfigError(
                f"shards.dtype: {self.dtype} holds ids up to {np.iinfo(dtype).max:,}, the vocabulary has "
                f"{vocab_size:,} entries; set shards.dtype=auto or int32"
            )
        return dtype

    def judge(self, made: Manifest) -> list[str]:
        """Return a line for each limit that a source's tokens pass.

        Raises:
            TokenAlarm: there are some, and they are to stop the run.
        """
        found = self.alarms.of(made)
        if found and self.on_alarm == "stop":
            raise TokenAlarm(
                f"shards.on_alarm=stop: {'; '.join(found)}; mend the source, set shards.alarms.<limit>=, or let "
                "shards.on_alarm=warn make the folder usable as it is: no text is encoded again"
            )
        return found

    def shard_writer(self, prefix: Path, dtype: np.dtype[Any]) -> ShardWriter:
        """Return the writer of one shard."""
        return ShardWriter(prefix, dtype)
