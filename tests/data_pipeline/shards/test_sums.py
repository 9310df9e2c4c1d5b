"""Sums do not depend on how the stream is cut, and a file that is not whole sums is refused."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.shards.errors import DamagedShard, ShardError
from data_pipeline.shards.sums import BlockHasher, read_sums


@settings(max_examples=30)
@given(cuts=st.lists(st.integers(0, 200_000), max_size=8), size=st.integers(0, 200_000))
def test_cuts_of_the_stream_do_not_matter(cuts: list[int], size: int) -> None:
    data = memoryview(bytes(index % 251 for index in range(1000)) * 200)[:size]
    whole, pieces = BlockHasher(), BlockHasher()
    whole.update(data)
    bounds = [0, *sorted(min(cut, size) for cut in cuts), size]
    for start, stop in itertools.pairwise(bounds):
        pieces.update(data[start:stop])
    assert whole.sums(b"idx") == pieces.sums(b"idx")
    assert len(whole.sums(b"idx").blocks) == 16 * ((size + 65_535) // 65_536)


def test_files_that_are_no_sums_are_refused(tmp_path: Path) -> None:
    hasher = BlockHasher()
    hasher.update(memoryview(b"x" * 100_000))
    content = hasher.sums(b"idx").to_bytes()
    path = tmp_path / "s.sum"
    for damaged, error, message in (
        (b"NOTASUM!" + content[8:], ShardError, "not the sums of a shard"),
        (content[:20], ShardError, "not the sums of a shard"),
        (content[:-16], DamagedShard, "1 sums for the 2 blocks"),
        (content + b"\0", DamagedShard, "sums for the 2 blocks"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(error, match=message):
            read_sums(path, None)
    path.write_bytes(content)
    assert read_sums(path, None).to_bytes() == content
    with pytest.raises(DamagedShard, match="belongs to another shard"):
        read_sums(path, "0" * 32)
