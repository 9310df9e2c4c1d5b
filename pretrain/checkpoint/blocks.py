"""Files with a hash for every 64 KiB: written in one pass, no byte used before its block was verified."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import numpy as np
import xxhash

from foundation.hashes import BLOCK_BYTES
from pretrain.checkpoint.errors import DamagedCheckpoint

SUM_BYTES = 16  # one xxh3-128
WRITE_BYTES = 16 * BLOCK_BYTES  # at a time: a thread that writes gives up the interpreter as seldom as that
ALIGN_BYTES = 64  # of every chunk's start, so that any dtype may be viewed in place


class BlockWriter:
    """Writes one file and keeps its block sums. A context manager; leaving it without error flushes to disk.

    Args:
        path: a file that doesn't exist yet.
        wrote: called with how many bytes of the data are written, WRITE_BYTES at most; None where nobody counts.
    """

    def __init__(self, path: Path, wrote: Callable[[float], None] | None = None) -> None:
        self._file, self._wrote = io.FileIO(path, "x"), wrote
        self._block = xxhash.xxh3_128()
        self._sums = bytearray()
        self.size_bytes = 0

    def __enter__(self) -> BlockWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                os.fsync(self._file.fileno())
        finally:
            self._file.close()

    def append(self, data: memoryview) -> int:
        """Write `data` at the next multiple of ALIGN_BYTES and return where it begins, in bytes.

        Raises:
            OSError: the disk is full or gone.
        """
        self._write(memoryview(bytes(-self.size_bytes % ALIGN_BYTES)))
        start = self.size_bytes
        self._write(data, self._wrote)
        return start

    def _write(self, data: memoryview, wrote: Callable[[float], None] | None = None) -> None:
        while len(data):
            written = self._file.write(data[:WRITE_BYTES])  # may be short; the rest then fails with its reason
            self._hash(data[:written])
            if wrote is not None:
                wrote(written)
            data = data[written:]

    def _hash(self, data: memoryview) -> None:
        while len(data):
            piece = data[: BLOCK_BYTES - self.size_bytes % BLOCK_BYTES]
            self._block.update(piece)
            self.size_bytes += len(piece)
            if self.size_bytes % BLOCK_BYTES == 0:
                self._sums += self._block.digest()
                self._block.reset()
            data = data[len(piece) :]

    def sums(self) -> bytes:
        """Return the block sums, 16 bytes a block, after the last write; the last block may be short."""
        return bytes(self._sums) + (self._block.digest() if self.size_bytes % BLOCK_BYTES else b"")


class BlockReader:
    """Reads verified bytes of one file.

    Args:
        path: the file.
        sums: its block sums, themselves verified.
        size_bytes: its size when it was written.
    Raises:
        DamagedCheckpoint: the sums are not as many as the file has blocks.
    """

    def __init__(self, path: Path, sums: bytes, size_bytes: int) -> None:
        if len(sums) != -(-size_bytes // BLOCK_BYTES) * SUM_BYTES:
            raise DamagedCheckpoint(f"{path}: {len(sums)} bytes of block sums do not belong to {size_bytes} bytes")
        self._path, self._sums, self._size_bytes = path, sums, size_bytes

    def read(self, start: int, size_bytes: int) -> np.ndarray:
        """Return (size_bytes,) uint8, a writable copy of the file's bytes from `start` on.

        Raises:
            DamagedCheckpoint: a block that holds some of them is cut short or has another hash; names its bytes.
            OSError: the file can't be read.
        """
        assert 0 <= start <= start + size_bytes <= self._size_bytes
        first, last = start // BLOCK_BYTES, -(-(start + size_bytes) // BLOCK_BYTES)
        begin, end = first * BLOCK_BYTES, min(last * BLOCK_BYTES, self._size_bytes)
        data = np.empty(max(end - begin, 0), dtype=np.uint8)
        with io.FileIO(self._path) as file:
            file.seek(begin)
            self._fill(file, data)
        for block in range(first, last):
            self._verify(block, data[block * BLOCK_BYTES - begin : (block + 1) * BLOCK_BYTES - begin])
        return data[start - begin : start - begin + size_bytes]

    def _fill(self, file: io.FileIO, data: np.ndarray) -> None:
        filled = 0
        while filled < len(data):
            count = file.readinto(data[filled:].data)
            if not count:
                raise DamagedCheckpoint(f"{self._path}: ends at byte {file.tell()}, {self._size_bytes} were written")
            filled += count

    def _verify(self, block: int, data: np.ndarray) -> None:
        if xxhash.xxh3_128_digest(data.data) != self._sums[block * SUM_BYTES : (block + 1) * SUM_BYTES]:
            start = block * BLOCK_BYTES
            last = start + len(data) - 1
            raise DamagedCheckpoint(f"{self._path}: bytes {start} to {last} are not those that were saved")

    def verify_all(self, between: Callable[[], None] | None = None) -> None:
        """Read the whole file once, in pieces of 16 MiB, and call `between` after each. Raises as `read` does."""
        piece_bytes = 256 * BLOCK_BYTES
        for start in range(0, self._size_bytes, piece_bytes):
            self.read(start, min(piece_bytes, self._size_bytes - start))
            if between is not None:
                between()
