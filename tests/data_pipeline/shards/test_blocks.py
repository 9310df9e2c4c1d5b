"""Blocks that several threads read are judged as one after the other are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xxhash

from data_pipeline.shards import blocks
from data_pipeline.shards.blocks import BlockReader, Read
from data_pipeline.shards.sums import BlockHasher, Sums
from foundation.hashes import BLOCK_BYTES


def plainly(data: bytes, sums: Sums, dtype: str, max_id: int) -> tuple[list[tuple[int, bytes]], list[int]]:
    """The wrong blocks with their digests; the positions of ids above the largest, in blocks that are right."""
    wrong, large = [], []
    for block in range(-(-len(data) // BLOCK_BYTES)):
        piece = data[block * BLOCK_BYTES : (block + 1) * BLOCK_BYTES]
        if xxhash.xxh3_128(piece).digest() != sums.block(block):
            wrong.append((block, xxhash.xxh3_128(piece).digest()))
            continue
        for place, number in enumerate(np.frombuffer(piece, dtype).tolist()):
            if number > max_id or number < 0:
                large.append(block * BLOCK_BYTES // np.dtype(dtype).itemsize + place)
    return wrong, large


def sums_of(data: bytes) -> Sums:
    hasher = BlockHasher()
    hasher.update(memoryview(data))
    return hasher.sums(b"")


@pytest.mark.parametrize("dtype", ["uint16", "int32"])
@pytest.mark.parametrize("num_bytes", [4, BLOCK_BYTES, 7 * BLOCK_BYTES, 7 * BLOCK_BYTES + 4000])
@pytest.mark.parametrize("read_blocks", [1, 2, 64])
def test_any_damage_is_found_as_by_the_plain_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, num_bytes: int, read_blocks: int
) -> None:
    monkeypatch.setattr(blocks, "READ_BLOCKS", read_blocks)
    rng = np.random.default_rng(num_bytes + read_blocks)
    data = rng.integers(0, 5000, num_bytes // np.dtype(dtype).itemsize).astype(dtype).tobytes()
    sums, path = sums_of(data), tmp_path / "a.bin"
    for damaged in range(4):
        changed = bytearray(data)
        for place in rng.integers(0, num_bytes, damaged).tolist():
            changed[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        reads = list(BlockReader(path, sums, np.dtype(dtype), 4998))
        wrong, large = plainly(bytes(changed), sums, dtype, 4998)
        assert [each for read in reads for each in read.wrong] == wrong
        assert sum(read.num_bytes for read in reads) == num_bytes
        assert [read.first for read in reads] == list(range(0, -(-num_bytes // BLOCK_BYTES), read_blocks))
        if not wrong:
            first = next((read.large for read in reads if read.large), None)
            assert (first and first[0]) == (large[0] if large else None)


def test_a_negative_id_is_named_as_it_is(tmp_path: Path) -> None:
    data = np.array([1, 2, -7, 3], "<i4").tobytes()
    (tmp_path / "a.bin").write_bytes(data)
    (read,) = BlockReader(tmp_path / "a.bin", sums_of(data), np.dtype("<i4"), 100)
    assert read == Read(0, 16, [], (2, -7))


def test_an_empty_file_has_no_blocks(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"")
    assert list(BlockReader(tmp_path / "a.bin", sums_of(b""), np.dtype("<u2"), 100)) == []
