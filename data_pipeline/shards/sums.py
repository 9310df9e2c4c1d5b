"""The `.sum` file: a hash of every 64 KiB block of a shard's `.bin`, so that each can be verified at its first read.

Little-endian: magic, bytes of the `.bin`, xxh3-128 of the whole `.idx`, then the xxh3-128 of each block in turn, the
last one of what is left. Its own hash is in manifest.json, which so vouches for every byte of the shard.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import xxhash

from data_pipeline.shards.errors import DamagedShard, ShardError
from foundation.hashes import BLOCK_BYTES, hash_bytes

MAGIC = b"GWSUM64K"  # the grain is part of the name: another grain would be another format
HEADER = struct.Struct("<8sQ16s")
DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Sums:
    """The sums of one shard.

    Attributes:
        bin_bytes: size of the `.bin`.
        idx_digest: 16 bytes, of the whole `.idx`.
        blocks: 16 bytes a block of the `.bin`, in order.
    """

    bin_bytes: int
    idx_digest: bytes
    blocks: bytes

    def to_bytes(self) -> bytes:
        """Return the content of the `.sum` file."""
        return HEADER.pack(MAGIC, self.bin_bytes, self.idx_digest) + self.blocks

    def block(self, number: int) -> bytes:
        """Return the digest of block `number`."""
        return self.blocks[number * DIGEST_BYTES : (number + 1) * DIGEST_BYTES]


class BlockHasher:
    """Hashes a stream block by block while it is written."""

    def __init__(self) -> None:
        self.num_bytes = 0
        self._digests = bytearray()
        self._state = xxhash.xxh3_128()

    def update(self, data: memoryview) -> None:
        """Take the next bytes of the stream, however many."""
        done = 0
        while done < len(data):
            piece = data[done : done + BLOCK_BYTES - self.num_bytes % BLOCK_BYTES]
            done += len(piece)
            if len(piece) == BLOCK_BYTES:  # a whole block needs no state
                self._digests += digest(piece)
            else:
                self._state.update(piece)
                if (self.num_bytes + len(piece)) % BLOCK_BYTES == 0:
                    self._digests += self._state.digest()
                    self._state.reset()
            self.num_bytes += len(piece)

    def sums(self, idx: bytes) -> Sums:
        """Return the sums of the stream so far and of the `.idx` that belongs to it."""
        begun = self._state.digest() if self.num_bytes % BLOCK_BYTES else b""
        return Sums(self.num_bytes, digest(idx), bytes(self._digests) + begun)


def digest(data: bytes | memoryview) -> bytes:
    """Return the xxh3-128 of `data` as 16 bytes."""
    return xxhash.xxh3_128_digest(data)


def num_blocks(num_bytes: int) -> int:
    """Return how many blocks a `.bin` of this size has."""
    return -(-num_bytes // BLOCK_BYTES)


def read_sums(path: Path, expected_hash: str | None) -> Sums:
    """Read a `.sum` file.

    Args:
        expected_hash: its hash by the manifest; None when there is no manifest to vouch for it.
    Raises:
        ShardError: the file is missing, or no `.sum` file of ours.
        DamagedShard: its hash is not the expected one, or it is cut short.
    """
    if not path.is_file():
        raise ShardError(f"{path}: missing, so nothing vouches for the shard's bytes")
    data = path.read_bytes()
    if expected_hash is not None and hash_bytes(data) != expected_hash:
        raise DamagedShard(
            f"{path}: its hash is {hash_bytes(data)}, the manifest says {expected_hash}: "
            f"it was changed, or belongs to another shard"
        )
    if data[: len(MAGIC)] != MAGIC or len(data) < HEADER.size:
        raise ShardError(f"{path}: begins with {data[: len(MAGIC)]!r}, not {MAGIC!r}: not the sums of a shard")
    _, bin_bytes, idx_digest = HEADER.unpack_from(data)
    blocks = data[HEADER.size :]
    if len(blocks) != num_blocks(bin_bytes) * DIGEST_BYTES:
        raise DamagedShard(
            f"{path}: {len(blocks) / DIGEST_BYTES:g} sums for the {num_blocks(bin_bytes)} blocks of its .bin"
        )
    return Sums(bin_bytes, idx_digest, blocks)
