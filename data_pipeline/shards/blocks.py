"""The blocks of a `.bin`, read from disk as fast as it gives them: several reads under way at a time, each hashed."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.shards.sums import DIGEST_BYTES, Sums, digest
from foundation.hashes import BLOCK_BYTES

READ_BLOCKS = 64  # a read of 4 MiB: long enough for a disk, two of them fit into a processor's cache
READERS = 4  # a disk answers several reads at a time; hashing frees the interpreter's lock too seldom for more
AHEAD = 2 * READERS  # reads whose blocks wait: 32 MiB


@dataclass(frozen=True, slots=True)
class Read:
    """Some blocks that were read.

    Attributes:
        first: number of the first of them.
        num_bytes: of all of them.
        wrong: (block, its digest) of those whose digest is not the `.sum`'s.
        large: position of the first token above the largest id and that id, of the blocks that are right.
    """

    first: int
    num_bytes: int
    wrong: list[tuple[int, bytes]]
    large: tuple[int, int] | None


class BlockReader:
    """Reads and judges all blocks of one `.bin`.

    Args:
        path: of the `.bin`; what is longer than the sums say is not looked at, a block that is cut off counts as wrong.
        dtype: of the tokens.
        max_id: the largest that there may be.
    """

    def __init__(self, path: Path, sums: Sums, dtype: np.dtype[Any], max_id: int) -> None:
        self._path, self._sums, self._max_id = path, sums, max_id
        self._unsigned = np.dtype(f"<u{dtype.itemsize}")  # a negative id becomes a large one

    def __iter__(self) -> Iterator[Read]:
        """Yield the reads in their order.

        Raises:
            OSError: the file can't be read.
        """
        size = min(self._path.stat().st_size, self._sums.bin_bytes)
        firsts = iter(range(0, -(-size // BLOCK_BYTES), READ_BLOCKS))
        descriptor = os.open(self._path, os.O_RDONLY)
        pool = ThreadPoolExecutor(READERS, "shards")
        try:
            waiting: deque[Future[Read]] = deque()
            for first in itertools.chain(firsts, itertools.repeat(None)):
                if first is not None:
                    waiting.append(pool.submit(self._read, descriptor, first, size))
                if not waiting:
                    return
                if first is None or len(waiting) > AHEAD:
                    yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
            os.close(descriptor)

    def _read(self, descriptor: int, first: int, size: int) -> Read:
        begin = first * BLOCK_BYTES
        data = memoryview(_read_fully(descriptor, min(READ_BLOCKS * BLOCK_BYTES, size - begin), begin))
        blocks = range(first, first + -(-len(data) // BLOCK_BYTES))
        found = [digest(data[start : start + BLOCK_BYTES]) for start in range(0, len(data), BLOCK_BYTES)]
        expected = self._sums.blocks[first * DIGEST_BYTES : blocks.stop * DIGEST_BYTES]
        if b"".join(found) == expected:
            return Read(first, len(data), [], self._large(data, begin))
        pairs = zip(blocks, found, strict=True)
        wrong = [(block, mine) for block, mine in pairs if mine != self._sums.block(block)]
        return Read(first, len(data), wrong, None)

    def _large(self, data: memoryview, begin: int) -> tuple[int, int] | None:
        tokens = np.frombuffer(data, self._unsigned)
        if int(tokens.max()) <= self._max_id:
            return None
        place = int(np.argmax(tokens > self._max_id))
        signed = int(tokens.view(f"<i{tokens.itemsize}")[place]) if tokens.itemsize > 2 else int(tokens[place])
        return begin // tokens.itemsize + place, signed


def _read_fully(descriptor: int, num_bytes: int, begin: int) -> bytes:
    """Read so many bytes; fewer only where another process cuts the file meanwhile, which the hash then shows."""
    parts, left = [], num_bytes
    while left and (part := os.pread(descriptor, left, begin + num_bytes - left)):
        parts.append(part)
        left -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
