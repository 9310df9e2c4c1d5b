"""Reads shards: mapped, each 64 KiB block verified when it is first read, ids above the vocabulary refused."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from data_pipeline.shards.errors import DamagedShard, ShardError
from data_pipeline.shards.index import read_index
from data_pipeline.shards.manifest import Manifest, ShardInfo, shard_prefix
from data_pipeline.shards.sums import digest, num_blocks, read_sums
from foundation.hashes import BLOCK_BYTES


class Shard:
    """One shard, open for reading.

    Args:
        prefix: path without suffix.
        info: what the manifest says of it; without it nothing vouches for the `.sum` file itself.
        vocab_size: ids from here on are refused; None refuses only negative ones.
        dtype: what the tokens must be; None takes what the index says.
    Raises:
        ShardError: a file is missing or of another form.
        DamagedShard: sizes, counts or the hashes of `.sum` and `.idx` are not those that were written.
    """

    def __init__(
        self,
        prefix: Path,
        info: ShardInfo | None = None,
        vocab_size: int | None = None,
        dtype: str | None = None,
    ) -> None:
        self.name, self._path = prefix.name, prefix.with_name(prefix.name + ".bin")
        self._sums = read_sums(prefix.with_name(prefix.name + ".sum"), info.sum_hash if info else None)
        self._index = read_index(prefix.with_name(prefix.name + ".idx"))
        self.dtype = self._index.dtype
        self._max_id = (vocab_size if vocab_size is not None else 1 << 31) - 1
        self._check_index(info, dtype)
        self.num_documents = len(self._index.boundaries) - 1
        self.num_tokens = self._sums.bin_bytes // self.dtype.itemsize
        self._tokens = self._map()
        self._verified = np.zeros(num_blocks(self._sums.bin_bytes), np.bool_)

    def tokens(self, start: int, stop: int) -> np.ndarray:
        """Return tokens [start, stop) as (stop - start,) of the shard's dtype: a read-only view of the mapped file.

        Raises:
            IndexError: the range leaves the shard.
            ShardError: an id is not in the vocabulary.
            DamagedShard: a block's hash is not the one that was written; names shard and block.
        """
        if not 0 <= start <= stop <= self.num_tokens:
            raise IndexError(f"{self._path}: tokens [{start}, {stop}) asked for, it holds {self.num_tokens:,}")
        size = self.dtype.itemsize
        first, last = start * size // BLOCK_BYTES, num_blocks(stop * size)
        if not self._verified[first:last].all():
            for block in np.flatnonzero(~self._verified[first:last]) + first:
                self._verify(int(block))
        return self._tokens[start:stop]

    def rows(self, starts: np.ndarray, length: int) -> np.ndarray:
        """Return runs of one length in a single gather: a tenth of the time of a call of `tokens` each.

        Args:
            starts: (num_rows,) int64, where each begins.
            length: tokens of each, at least 1.
        Returns:
            (num_rows, length) of the shard's dtype.
        Raises:
            IndexError, ShardError, DamagedShard: as `tokens`.
        """
        size, num_starts = self.dtype.itemsize, self.num_tokens - length + 1
        if starts.size == 0:
            return np.empty((0, length), self.dtype)
        if not 0 <= starts.min() <= starts.max() < num_starts:
            outside = starts[(starts < 0) | (starts >= num_starts)][0]
            raise IndexError(
                f"{self._path}: tokens [{outside}, {outside + length}) asked for, it holds {self.num_tokens:,}"
            )
        first, last = starts * size // BLOCK_BYTES, ((starts + length) * size - 1) // BLOCK_BYTES
        for offset in range(int((last - first).max()) + 1):
            blocks = np.minimum(first + offset, last)
            pending = blocks[~self._verified[blocks]]
            for block in np.unique(pending) if pending.size else ():  # asked of every batch, an empty one costs 12 us
                self._verify(int(block))
        # Every start's run as a row of one overlapping view; sliding_window_view takes 8 microseconds to say the same.
        windows: np.ndarray = np.ndarray((num_starts, length), self.dtype, self._tokens, strides=(size, size))
        return np.asarray(windows[starts])

    @cached_property
    def document_starts(self) -> np.ndarray:
        """(num_documents + 1,) int64: the position of each document's first token, then num_tokens."""
        return self._index.document_starts()

    @property
    def lengths(self) -> np.ndarray:
        """(num_documents,) int64: tokens of each document, its end-of-text among them."""
        return np.diff(self.document_starts)

    def _check_index(self, info: ShardInfo | None, dtype: str | None) -> None:
        idx_path = self._path.with_suffix(".idx")
        if digest(self._index.buffer.data) != self._sums.idx_digest:
            raise DamagedShard(f"{idx_path}: its hash is not the one in its .sum: changed after it was written")
        if dtype is not None and self.dtype.name != dtype:
            raise ShardError(f"{idx_path}: tokens are {self.dtype.name}, the manifest says {dtype}")
        tokens = self._sums.bin_bytes / self.dtype.itemsize
        if tokens != int(self._index.lengths.sum(dtype=np.int64)):
            raise DamagedShard(f"{idx_path}: its lengths don't add up to the {tokens:g} tokens of the .bin")
        counts = (tokens, len(self._index.boundaries) - 1)
        if info is not None and counts != (info.num_tokens, info.num_documents):
            raise DamagedShard(
                f"{idx_path}: {counts[0]:g} tokens in {counts[1]} documents, the manifest says "
                f"{info.num_tokens} in {info.num_documents}"
            )

    def _map(self) -> np.ndarray:
        size = self._path.stat().st_size if self._path.is_file() else None
        if size is None:
            raise ShardError(f"{self._path}: missing; a shard is its .bin, .idx and .sum together")
        if size != self._sums.bin_bytes:
            kind, missing = "longer than it was written", ""
            if size < self._sums.bin_bytes:
                kind, missing = "cut short", f": what is missing begins in block {size // BLOCK_BYTES}"
            raise DamagedShard(f"{self._path}: {kind}: {size:,} bytes, its .sum says {self._sums.bin_bytes:,}{missing}")
        if not size:  # an empty file can't be mapped
            return np.zeros(0, self.dtype)
        return np.asarray(np.memmap(self._path, self.dtype, mode="r"))

    def _verify(self, block: int) -> None:
        size = BLOCK_BYTES // self.dtype.itemsize
        tokens = self._tokens[block * size : (block + 1) * size]
        if digest(tokens.data) != self._sums.block(block):
            offset = block * BLOCK_BYTES
            raise DamagedShard(
                f"{self._path}: block {block} (bytes {offset:,} to {offset + tokens.nbytes:,}) is not what was "
                f"written: its hash differs from the .sum's"
            )
        unsigned = tokens.view(f"<u{self.dtype.itemsize}")  # a negative id becomes a large one
        if int(unsigned.max()) > self._max_id:
            position = block * size + int(np.argmax(unsigned > self._max_id))
            raise ShardError(
                f"{self._path}: token {position} has id {self._tokens[position]}, the vocabulary ends at "
                f"{self._max_id}: these shards belong to another tokenizer"
            )
        self._verified[block] = True


class TokenStream:
    """The shards of one source laid end to end as one run of tokens."""

    def __init__(self, shards: Sequence[Shard]) -> None:
        self.shards = list(shards)
        self._token_ends = np.cumsum([shard.num_tokens for shard in shards], dtype=np.int64)
        self.num_tokens = int(self._token_ends[-1]) if self.shards else 0

    def tokens(self, start: int, stop: int) -> np.ndarray:
        """Return tokens [start, stop) as (stop - start,) of the shards' dtype; a view where one shard holds them all.

        Raises:
            IndexError, ShardError, DamagedShard: as Shard.tokens.
        """
        if not 0 <= start <= stop <= self.num_tokens or not self.shards:
            raise IndexError(f"tokens [{start}, {stop}) asked for, the shards hold {self.num_tokens:,}")
        number, parts = self._shard_of(min(start, self.num_tokens - 1)), []
        while True:
            shard, begin = self.shards[number], int(self._token_ends[number]) - self.shards[number].num_tokens
            parts.append(shard.tokens(max(start - begin, 0), min(stop - begin, shard.num_tokens)))
            if stop <= begin + shard.num_tokens:
                return parts[0] if len(parts) == 1 else np.concatenate(parts)
            number += 1

    def rows(self, starts: np.ndarray, length: int) -> np.ndarray:
        """Return runs of one length, (num_rows, length) of the shards' dtype, as Shard.rows; a run may cross shards.

        Raises:
            IndexError, ShardError, DamagedShard: as Shard.tokens.
        """
        if len(self.shards) == 1:
            return self.shards[0].rows(starts, length)
        rows = np.empty((len(starts), length), self.shards[0].dtype if self.shards else np.uint16)
        first = np.searchsorted(self._token_ends, starts, side="right")
        inside = (first == np.searchsorted(self._token_ends, starts + length - 1, side="right")) & (
            first < len(self.shards)
        )
        for number in np.unique(first[inside]):
            mine = np.flatnonzero(inside & (first == number))
            begin = int(self._token_ends[number]) - self.shards[number].num_tokens
            rows[mine] = self.shards[number].rows(starts[mine] - begin, length)
        for row in np.flatnonzero(~inside):
            rows[row] = self.tokens(int(starts[row]), int(starts[row]) + length)
        return rows

    def _shard_of(self, position: int) -> int:
        return int(np.searchsorted(self._token_ends, position, side="right"))


def open_split(data_dir: Path, manifest: Manifest, split: str) -> dict[str, TokenStream]:
    """Open the shards of a split, `train` or `val`.

    Returns:
        Source name -> its tokens, sorted by name; sources without documents in this split are left out.
    Raises:
        ShardError: the split has no tokens, a shard is missing or is not what the manifest says.
    """

    def open_shard(info: ShardInfo) -> Shard:
        return Shard(shard_prefix(data_dir, split, info.name), info, manifest.vocab_size, manifest.dtype)

    streams = {
        name: TokenStream([open_shard(info) for info in source.shards])
        for name, source in sorted(manifest.splits[split].items())
        if source.tokens
    }
    if not streams:
        raise ShardError(
            f"{data_dir}: the split {split!r} has no tokens",
            "give the pipeline more text or set a larger mix.held_out_frac",
        )
    return streams
