"""A pair that nothing vouches for is taken when its numbers agree, and refused with the first place that does not."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.shards.errors import DamagedShard, ShardError
from data_pipeline.shards.index import HEADER
from data_pipeline.shards.pair import open_pair

# two_sequences: ten sequences of 1, 2, 2, 3, 3, 4, 4, 5, 5, 6 tokens of uint16, five documents of two sequences each
LENGTHS, OFFSETS, BOUNDARIES = HEADER.size, HEADER.size + 10 * 4, HEADER.size + 10 * 12


@pytest.fixture
def changed(fixtures: Path, tmp_path: Path) -> Callable[[int, str, int], Path]:
    """Copy the pair with another number at a place of its index."""

    def changed(place: int, form: str, value: int) -> Path:
        data = bytearray((fixtures / "two_sequences.idx").read_bytes())
        struct.pack_into(form, data, place, value)
        (tmp_path / "x.idx").write_bytes(data)
        (tmp_path / "x.bin").write_bytes((fixtures / "two_sequences.bin").read_bytes())
        return tmp_path / "x"

    return changed


@pytest.mark.parametrize("name", ["two_sequences", "empty", "one_token_documents", "uint16", "int32"])
@pytest.mark.parametrize("suffix", ["", ".bin", ".idx"])
def test_what_megatrons_builder_wrote_is_taken(fixtures: Path, name: str, suffix: str) -> None:
    tokens, index = open_pair(fixtures / f"{name}{suffix}")
    assert tokens == fixtures / f"{name}.bin"
    starts = np.cumsum([0, *index.lengths.tolist()])
    assert (index.offsets == starts[:-1] * index.dtype.itemsize).all()
    assert index.document_starts()[-1] == starts[-1]


@pytest.mark.parametrize(
    ("place", "form", "value", "said"),
    [
        (LENGTHS + 3 * 4, "<i", -3, "sequence 3 has -3 tokens; it has 0 or more"),
        (LENGTHS + 3 * 4, "<i", 4, "sequence 4 begins at byte 16 of the .bin; the lengths before it make that 18"),
        (LENGTHS + 9 * 4, "<i", 7, "x.bin: 70 bytes, the lengths in its .idx make 72"),
        (OFFSETS + 7 * 8, "<q", 0, "sequence 7 begins at byte 0 of the .bin; the lengths before it make that 38"),
        (OFFSETS, "<q", 2, "sequence 0 begins at byte 2 of the .bin; the lengths before it make that 0"),
        (BOUNDARIES + 2 * 8, "<q", 7, "document 3 begins at sequence 6; documents begin in ascending order within 0"),
        (BOUNDARIES + 2 * 8, "<q", -5, "document 2 begins at sequence -5; documents begin in ascending"),
        (BOUNDARIES + 2 * 8, "<q", 10**9, "document 2 begins at sequence 1,000,000,000; documents begin in ascending"),
        (BOUNDARIES + 5 * 8, "<q", 9, "its document boundaries don't span its 10 sequences"),
    ],
)
def test_numbers_that_do_not_agree_are_named_with_their_place(
    changed: Callable[[int, str, int], Path], place: int, form: str, value: int, said: str
) -> None:
    path = changed(place, form, value)
    with pytest.raises(DamagedShard, match=re.escape(said)) as caught:
        open_pair(path)
    assert str(caught.value).startswith(str(path)) and "copy both files again" in str(caught.value)


def test_documents_without_sequences_are_taken(changed: Callable[[int, str, int], Path]) -> None:
    _, index = open_pair(changed(BOUNDARIES + 2 * 8, "<q", 2))
    assert index.document_starts().tolist() == [0, 3, 3, 15, 24, 35]


def test_half_a_pair_is_refused_with_what_to_do(changed: Callable[[int, str, int], Path]) -> None:
    path = changed(OFFSETS, "<q", 0)
    path.with_name("x.idx").rename(path.with_name("y.idx"))
    with pytest.raises(ShardError, match=r"x\.idx: missing.*copy both files again"):
        open_pair(path)
    with pytest.raises(ShardError, match=r"y\.bin: is no file"):
        open_pair(path.with_name("y"))
