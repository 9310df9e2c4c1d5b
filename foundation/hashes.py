"""Content hashes. xxh3-128 everywhere: it guards against faults (flipped bits, cut files), not against forgery."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import xxhash

from foundation.files import canonical_json

BLOCK_BYTES = 64 * 1024  # the grain at which shards and checkpoint chunks are verified
READ_BYTES = 1 << 20


def hash_bytes(data: bytes | bytearray | memoryview) -> str:
    """Return the xxh3-128 of `data` as 32 hex digits."""
    return xxhash.xxh3_128_hexdigest(data)


def hash_json(value: Any) -> str:
    """Return the hash of a JSON value, the same for any order of its keys."""
    return hash_bytes(canonical_json(value))


def hash_file(path: Path) -> str:
    """Return the hash of a file's bytes, read in pieces of 1 MiB.

    Raises:
        OSError: the file can't be read.
    """
    state = xxhash.xxh3_128()
    with path.open("rb") as file:
        while piece := file.read(READ_BYTES):
            state.update(piece)
    return state.hexdigest()
