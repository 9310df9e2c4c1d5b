"""The `.idx` file of a Megatron-Core indexed dataset, and the dtypes that a `.bin` may have.

Little-endian: magic, version, dtype code, number of sequences n, number of document boundaries m; n int32 lengths in
tokens, n int64 byte offsets into the `.bin`, m int64 numbers of the sequences at which documents begin, and the end.
Ours hold one sequence a document; those of others may hold several.
Source: Megatron-LM, megatron/core/datasets/indexed_dataset.py (the fixtures of the tests were made by its builder).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.shards.errors import DamagedShard, ShardError

MAGIC = b"MMIDIDX\x00\x00"
VERSION = 1
HEADER = struct.Struct("<9sQBQQ")
DTYPE_CODES: dict[int, np.dtype[Any]] = {
    8: np.dtype("<u2"),
    4: np.dtype("<i4"),
}  # the two that hold token ids; Megatron has eight
UINT16_BELOW = 65_500  # Megatron's own bound (DType.optimal_dtype); 65,536 would also fit


@dataclass(frozen=True, slots=True)
class Index:
    """A parsed `.idx`; the arrays are views of the mapped file.

    Attributes:
        dtype: of the tokens in the `.bin`.
        lengths: (num_sequences,) int32, tokens of each sequence.
        offsets: (num_sequences,) int64, the byte of the `.bin` at which each begins.
        boundaries: (num_documents + 1,) int64, the sequence at which each document begins, then num_sequences.
        buffer: (file size,) uint8, the whole file, for its hash.
    """

    dtype: np.dtype[Any]
    lengths: np.ndarray
    offsets: np.ndarray
    boundaries: np.ndarray
    buffer: np.ndarray

    def document_starts(self) -> np.ndarray:
        """Return (num_documents + 1,) int64: the position of each document's first token, then the number of tokens."""
        ends = np.zeros(len(self.lengths) + 1, np.int64)
        np.cumsum(self.lengths, out=ends[1:])
        starts: np.ndarray = ends[self.boundaries]
        return starts


def dtype_for(vocab_size: int) -> np.dtype[Any]:
    """Return the dtype that Megatron takes for a vocabulary: uint16 below 65,500 entries, else int32."""
    return np.dtype("<u2") if vocab_size < UINT16_BELOW else np.dtype("<i4")


def index_bytes(dtype: np.dtype[Any], lengths: np.ndarray) -> bytes:
    """Return the `.idx` of documents of one sequence each.

    Args:
        dtype: of the tokens, one of DTYPE_CODES.
        lengths: (num_documents,) int32, tokens of each document.
    """
    code = next(code for code, known in DTYPE_CODES.items() if known == dtype)
    count = len(lengths)
    offsets = np.zeros(count, "<i8")
    np.cumsum(lengths[:-1], dtype=np.int64, out=offsets[1:])
    offsets *= dtype.itemsize
    header = HEADER.pack(MAGIC, VERSION, code, count, count + 1)
    return b"".join(
        (header, lengths.astype("<i4").tobytes(), offsets.tobytes(), np.arange(count + 1, dtype="<i8").tobytes())
    )


def read_index(path: Path) -> Index:
    """Map an `.idx` and check its form. Where no hash vouches for its numbers, `pair.open_pair` checks them too.

    Raises:
        ShardError: the file is missing, or of a format, version or dtype that we don't read.
        DamagedShard: it is shorter or longer than its own counts say, or its documents don't span its sequences.
    """
    if not path.is_file():
        raise ShardError(f"{path}: missing; a shard is its .bin, .idx and .sum together")
    if path.stat().st_size < HEADER.size:
        raise DamagedShard(f"{path}: {path.stat().st_size} bytes, an index has at least {HEADER.size}")
    buffer = np.asarray(np.memmap(path, np.uint8, mode="r"))
    magic, version, code, count, boundaries = HEADER.unpack(buffer[: HEADER.size].tobytes())
    _check_header(path, magic, version, code)
    size = HEADER.size + 12 * count + 8 * boundaries
    if buffer.size != size:
        raise DamagedShard(f"{path}: {buffer.size:,} bytes, its own header makes it {size:,}")
    index = Index(
        dtype=DTYPE_CODES[code],
        lengths=np.frombuffer(buffer, "<i4", count, HEADER.size),
        offsets=np.frombuffer(buffer, "<i8", count, HEADER.size + 4 * count),
        boundaries=np.frombuffer(buffer, "<i8", boundaries, HEADER.size + 12 * count),
        buffer=buffer,
    )
    if not boundaries or index.boundaries[0] != 0 or index.boundaries[-1] != count:
        raise DamagedShard(f"{path}: its document boundaries don't span its {count:,} sequences")
    return index


def _check_header(path: Path, magic: bytes, version: int, code: int) -> None:
    if magic != MAGIC:
        raise ShardError(f"{path}: begins with {magic!r}, not {MAGIC!r}: no Megatron-Core index")
    if version != VERSION:
        raise ShardError(f"{path}: version {version} of the format, version {VERSION} is read")
    if code not in DTYPE_CODES:
        allowed = ", ".join(f"{code} ({dtype.name})" for code, dtype in DTYPE_CODES.items())
        raise ShardError(f"{path}: dtype code {code} is not one of {allowed}, which hold token ids")
