"""The index of Megatron's own builder is read; one that is not whole or not ours to read is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.shards.errors import DamagedShard, ShardError
from data_pipeline.shards.index import dtype_for, index_bytes, read_index


def test_reads_documents_of_several_sequences(fixtures: Path) -> None:
    index = read_index(fixtures / "two_sequences.idx")
    assert index.dtype == np.uint16
    assert index.lengths.tolist() == [1, 2, 2, 3, 3, 4, 4, 5, 5, 6]
    assert index.document_starts().tolist() == [0, 3, 8, 15, 24, 35]


def test_reads_an_empty_index(fixtures: Path) -> None:
    assert read_index(fixtures / "empty.idx").document_starts().tolist() == [0]


def test_places_beyond_2_gib_are_kept(tmp_path: Path) -> None:
    lengths = np.array([2**31 - 1, 2**31 - 1, 5, 1], np.int32)  # tokens of documents, no matter where they are
    ends = [0, 2**31 - 1, 2**32 - 2, 2**32 + 3, 2**32 + 4]
    for dtype in (np.dtype("<u2"), np.dtype("<i4")):
        data = index_bytes(dtype, lengths)
        offsets = np.frombuffer(data, "<i8", 4, 34 + 4 * 4)
        assert offsets.tolist() == [dtype.itemsize * start for start in ends[:-1]]
        (tmp_path / "x.idx").write_bytes(data)
        assert read_index(tmp_path / "x.idx").document_starts().tolist() == ends


def test_dtype_is_megatrons_choice() -> None:
    assert [dtype_for(size).name for size in (257, 65_499, 65_500, 200_000)] == ["uint16", "uint16", "int32", "int32"]


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (0, 88, "no Megatron-Core index"),
        (9, 2, "version 2 of the format"),
        (17, 5, r"dtype code 5 is not one of 8 \(uint16\), 4 \(int32\)"),
        (18, 255, "its own header makes it"),
        (34 + 10 * 12, 1, "don't span its 10 sequences"),
        (-8, 9, "don't span its 10 sequences"),
    ],
)
def test_an_index_that_is_not_one_is_refused(
    tmp_path: Path, fixtures: Path, offset: int, value: int, message: str
) -> None:
    data = bytearray((fixtures / "two_sequences.idx").read_bytes())
    data[offset] = value
    (tmp_path / "x.idx").write_bytes(data)
    with pytest.raises(ShardError, match=message) as caught:
        read_index(tmp_path / "x.idx")
    assert str(tmp_path / "x.idx") in str(caught.value)


@pytest.mark.parametrize("size", [0, 33, 34, 201])
def test_a_cut_index_is_refused(tmp_path: Path, fixtures: Path, size: int) -> None:
    (tmp_path / "x.idx").write_bytes((fixtures / "two_sequences.idx").read_bytes()[:size])
    with pytest.raises(DamagedShard, match=f"{size} bytes"):
        read_index(tmp_path / "x.idx")


def test_a_missing_index_is_named(tmp_path: Path, fixtures: Path) -> None:
    shutil.copy(fixtures / "uint16.bin", tmp_path)
    with pytest.raises(ShardError, match=r"uint16\.idx: missing"):
        read_index(tmp_path / "uint16.idx")
