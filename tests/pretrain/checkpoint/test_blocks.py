"""Files in blocks: against hashes of plain slices, under every flipped bit and every cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xxhash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pretrain.checkpoint.blocks import BlockReader, BlockWriter
from pretrain.checkpoint.errors import DamagedCheckpoint

BLOCK = 65536
sizes = st.lists(
    st.one_of(st.integers(0, 200), st.sampled_from([BLOCK - 1, BLOCK, BLOCK + 1, 17 * BLOCK + 3])), max_size=8
)


def write(path: Path, chunks: list[bytes]) -> tuple[list[int], bytes]:
    path.unlink(missing_ok=True)
    with BlockWriter(path) as writer:
        starts = [writer.append(memoryview(chunk)) for chunk in chunks]
    return starts, writer.sums()


def chunks_of(lengths: list[int]) -> list[bytes]:
    random = np.random.default_rng(len(lengths))
    return [random.integers(0, 256, size=length, dtype=np.uint8).tobytes() for length in lengths]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lengths=sizes)
def test_chunks_come_back_and_sums_are_those_of_the_blocks(tmp_path: Path, lengths: list[int]) -> None:
    path, chunks = tmp_path / "file", chunks_of(lengths)
    starts, sums = write(path, chunks)
    data = path.read_bytes()
    assert sums == b"".join(xxhash.xxh3_128_digest(data[at : at + BLOCK]) for at in range(0, len(data), BLOCK))
    reader = BlockReader(path, sums, len(data))
    reader.verify_all()
    for start, chunk in zip(starts, chunks, strict=True):
        assert start % 64 == 0 and reader.read(start, len(chunk)).tobytes() == chunk


def test_what_was_read_may_be_written_to(tmp_path: Path) -> None:
    _, sums = write(tmp_path / "file", [b"abcdef"])
    BlockReader(tmp_path / "file", sums, 6).read(1, 3)[0] = 7
    assert (tmp_path / "file").read_bytes() == b"abcdef"


@pytest.mark.parametrize("position", [0, 1, BLOCK - 1, BLOCK, 2 * BLOCK + 99])
@pytest.mark.parametrize("bit", range(8))
def test_a_flipped_bit_is_found_in_its_block_and_only_there(tmp_path: Path, position: int, bit: int) -> None:
    path = tmp_path / "file"
    _, sums = write(path, chunks_of([2 * BLOCK + 100]))
    data = bytearray(path.read_bytes())
    data[position] ^= 1 << bit
    path.write_bytes(data)
    reader = BlockReader(path, sums, len(data))
    block = position // BLOCK
    with pytest.raises(DamagedCheckpoint, match=f"file: bytes {block * BLOCK} to "):
        reader.verify_all()
    with pytest.raises(DamagedCheckpoint):
        reader.read(position, 1)
    other = (block + 1) % 3 * BLOCK
    assert reader.read(other, 10).tobytes() == bytes(data[other : other + 10])


@pytest.mark.parametrize("left", [0, 1, BLOCK, BLOCK + 99])
def test_a_cut_file_is_found(tmp_path: Path, left: int) -> None:
    path = tmp_path / "file"
    _, sums = write(path, chunks_of([BLOCK + 100]))
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(DamagedCheckpoint, match=f"ends at byte {left}, {BLOCK + 100} were written"):
        BlockReader(path, sums, BLOCK + 100).verify_all()


def test_sums_of_another_size_are_refused(tmp_path: Path) -> None:
    _, sums = write(tmp_path / "file", [b"abc"])
    with pytest.raises(DamagedCheckpoint, match="do not belong"):
        BlockReader(tmp_path / "file", sums + sums, 3)


def test_a_file_is_never_written_over(tmp_path: Path) -> None:
    write(tmp_path / "file", [b"abc"])
    with pytest.raises(FileExistsError):
        BlockWriter(tmp_path / "file")
