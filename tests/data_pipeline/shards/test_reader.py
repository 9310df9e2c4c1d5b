"""Shards give back what was written, and any byte that is not what was written is an error with shard and block."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.shards.errors import DamagedShard, ShardError
from data_pipeline.shards.manifest import Manifest, ShardInfo
from data_pipeline.shards.reader import Shard, TokenStream, open_split

WriteShard = Callable[..., ShardInfo]
BLOCK = 65_536
PER_BLOCK = BLOCK // 2  # uint16 tokens


@pytest.fixture
def documents() -> list[list[int]]:
    rng = np.random.default_rng(1)
    return [[*rng.integers(1, 50_000, size).tolist(), 0] for size in (40_000, 0, 7, 60_000, 1, 30_000)]


@pytest.fixture
def shard(tmp_path: Path, write_shard: WriteShard, documents: list[list[int]]) -> tuple[Path, ShardInfo]:
    return tmp_path / "s_00000", write_shard(tmp_path / "s_00000", documents)


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 4
    path.write_bytes(data)


@pytest.mark.parametrize(("name", "count", "vocab_size"), [("uint16", 30, 65_499), ("int32", 15, 131_072)])
def test_reads_what_megatrons_builder_wrote(
    built_by_megatron: Callable[[str], Path],
    rule: Callable[[int, int], list[list[int]]],
    name: str,
    count: int,
    vocab_size: int,
) -> None:
    shard, expected = Shard(built_by_megatron(name), vocab_size=vocab_size, dtype=name), rule(count, vocab_size)
    starts = shard.document_starts
    read = [shard.tokens(int(a), int(b)).tolist() for a, b in itertools.pairwise(starts)]
    assert read == expected
    assert shard.lengths.tolist() == [len(document) for document in expected]


def test_an_empty_shard_has_no_tokens(built_by_megatron: Callable[[str], Path]) -> None:
    shard = Shard(built_by_megatron("empty"))
    assert (shard.num_tokens, shard.num_documents, shard.tokens(0, 0).size) == (0, 0, 0)


def test_any_range_is_read(shard: tuple[Path, ShardInfo], documents: list[list[int]]) -> None:
    flat = np.array(list(itertools.chain(*documents)), np.uint16)
    rng = np.random.default_rng(2)
    for _ in range(200):
        start, stop = np.sort(rng.integers(0, len(flat) + 1, 2)).tolist()
        assert np.array_equal(Shard(*shard, vocab_size=50_000).tokens(start, stop), flat[start:stop])


def test_ranges_outside_are_refused(shard: tuple[Path, ShardInfo]) -> None:
    opened = Shard(*shard)
    for start, stop in ((-1, 5), (5, 4), (0, opened.num_tokens + 1)):
        with pytest.raises(IndexError, match=f"it holds {opened.num_tokens:,}"):
            opened.tokens(start, stop)


def test_tokens_cannot_be_changed_through_the_view(shard: tuple[Path, ShardInfo]) -> None:
    with pytest.raises(ValueError, match="read-only"):
        Shard(*shard).tokens(0, 5)[0] = 1


@pytest.mark.parametrize("block", [0, 1, 3])
def test_a_flipped_bit_is_found_at_the_first_read_of_its_block(shard: tuple[Path, ShardInfo], block: int) -> None:
    flip(shard[0].with_suffix(".bin"), block * BLOCK + 100)
    opened = Shard(*shard)
    ends = [*range(PER_BLOCK, opened.num_tokens, PER_BLOCK), opened.num_tokens]
    for other in {0, 1, 2, 3} - {block}:
        opened.tokens(other * PER_BLOCK, ends[other])
    with pytest.raises(DamagedShard, match=rf"s_00000\.bin: block {block} \(bytes {block * BLOCK:,} to") as caught:
        opened.tokens(ends[block] - 1, min(ends[block] + 1, opened.num_tokens))
    assert "python -m data_pipeline" in str(caught.value)


def test_a_block_is_verified_once(shard: tuple[Path, ShardInfo]) -> None:
    opened = Shard(*shard)
    opened.tokens(0, 10)
    flip(shard[0].with_suffix(".bin"), 5000)
    opened.tokens(0, 10)  # a second look would see it, and cost every read the hash of its block
    with pytest.raises(DamagedShard, match="block 0"):
        Shard(*shard).tokens(0, 10)


@pytest.mark.parametrize("size", [0, 2, BLOCK, BLOCK + 1, -2])
def test_a_cut_shard_is_refused(shard: tuple[Path, ShardInfo], size: int) -> None:
    path = shard[0].with_suffix(".bin")
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DamagedShard, match=r"s_00000\.bin: cut short"):
        Shard(*shard)


def test_a_longer_shard_is_refused(shard: tuple[Path, ShardInfo]) -> None:
    path = shard[0].with_suffix(".bin")
    path.write_bytes(path.read_bytes() + b"\0\0")
    with pytest.raises(DamagedShard, match="longer than it was written"):
        Shard(*shard)


@pytest.mark.parametrize("suffix", [".bin", ".idx", ".sum"])
def test_a_missing_file_is_named(shard: tuple[Path, ShardInfo], suffix: str) -> None:
    shard[0].with_suffix(suffix).unlink()
    with pytest.raises(ShardError, match=rf"s_00000\{suffix}: missing"):
        Shard(*shard)


@pytest.mark.parametrize("suffix", [".idx", ".sum"])
def test_every_byte_of_index_and_sums_is_vouched_for(shard: tuple[Path, ShardInfo], suffix: str) -> None:
    path = shard[0].with_suffix(suffix)
    healthy = path.read_bytes()
    for offset in range(0, len(healthy), 5):
        path.write_bytes(healthy)
        flip(path, offset)
        with pytest.raises(ShardError, match=rf"s_00000\{suffix}"):
            Shard(*shard)


def test_files_swapped_between_shards_are_found(
    tmp_path: Path, shard: tuple[Path, ShardInfo], write_shard: WriteShard, documents: list[list[int]]
) -> None:
    other = write_shard(tmp_path / "other", [[token ^ 1 for token in document] for document in documents])
    for suffix, error in ((".sum", "the manifest says"), (".bin", "block 0")):
        shutil.copy(tmp_path / f"other{suffix}", tmp_path / f"s_00000{suffix}")
        with pytest.raises(DamagedShard, match=error):
            Shard(*shard).tokens(0, 1)
        write_shard(tmp_path / "s_00000", documents)
    assert other.num_tokens == shard[1].num_tokens


@pytest.mark.bad_input(47)
def test_counts_and_dtype_of_the_manifest_must_agree(shard: tuple[Path, ShardInfo]) -> None:
    prefix, info = shard
    with pytest.raises(DamagedShard, match="documents, the manifest says"):
        Shard(prefix, replace(info, num_documents=info.num_documents + 1))
    with pytest.raises(ShardError, match="tokens are uint16, the manifest says int32"):
        Shard(prefix, info, dtype="int32")


@pytest.mark.bad_input(47)
def test_ids_beyond_the_vocabulary_are_refused(tmp_path: Path, write_shard: WriteShard) -> None:
    info = write_shard(tmp_path / "big", [[5, 999, 1000, 3]])
    assert Shard(tmp_path / "big", info, vocab_size=1001).tokens(0, 4).tolist() == [5, 999, 1000, 3]
    with pytest.raises(ShardError, match="token 2 has id 1000, the vocabulary ends at 999"):
        Shard(tmp_path / "big", info, vocab_size=1000).tokens(0, 1)
    info = write_shard(tmp_path / "negative", [[5, -1]], "int32")
    with pytest.raises(ShardError, match="token 1 has id -1"):
        Shard(tmp_path / "negative", info).tokens(0, 1)


def test_a_stream_is_its_shards_end_to_end(tmp_path: Path, write_shard: WriteShard) -> None:
    rng = np.random.default_rng(3)
    groups = [[rng.integers(1, 99, size).tolist() for size in sizes] for sizes in ((3, 5), (1,), (), (2, 4, 6), (1,))]
    prefixes = [tmp_path / f"s_{number}" for number in range(len(groups))]
    infos = [write_shard(prefix, group) for prefix, group in zip(prefixes, groups, strict=True)]
    stream = TokenStream([Shard(prefix, info) for prefix, info in zip(prefixes, infos, strict=True)])
    documents = list(itertools.chain(*groups))
    flat = np.array(list(itertools.chain(*documents)), np.uint16)
    assert stream.num_tokens == len(flat)
    for start in range(len(flat) + 1):
        for stop in range(start, len(flat) + 1):
            assert np.array_equal(stream.tokens(start, stop), flat[start:stop])
    for start, stop in ((0, len(flat) + 1), (-1, 2)):
        with pytest.raises(IndexError, match=f"the shards hold {len(flat)}"):
            stream.tokens(start, stop)


def test_opens_the_sources_of_a_split(make_folder: Callable[..., Path]) -> None:
    folder = make_folder()
    manifest = Manifest.load(folder)
    train, val = open_split(folder, manifest, "train"), open_split(folder, manifest, "val")
    assert list(train) == ["a", "b"]
    assert list(val) == ["a"]  # b held nothing out
    assert len(train["a"].shards) > 1
    for name, stream in train.items():
        assert stream.num_tokens == manifest.splits["train"][name].tokens
        stored = [(folder / "shards" / "train" / f"{shard.name}.bin").read_bytes() for shard in stream.shards]
        assert stream.tokens(0, stream.num_tokens).tobytes() == b"".join(stored)


def test_a_split_without_tokens_is_refused(make_folder: Callable[..., Path]) -> None:
    folder = make_folder()
    manifest = Manifest.load(folder)
    emptied = replace(manifest, splits={**manifest.splits, "val": {}})
    with pytest.raises(ShardError, match="the split 'val' has no tokens"):
        open_split(folder, emptied, "val")


@pytest.mark.parametrize("length", [1, 7, PER_BLOCK + 5])
def test_rows_are_the_tokens_of_each_run(
    tmp_path: Path, write_shard: WriteShard, documents: list[list[int]], length: int
) -> None:
    infos = [write_shard(tmp_path / name, documents[part]) for name, part in (("x", slice(0, 3)), ("y", slice(3, 6)))]
    stream = TokenStream([Shard(tmp_path / info.name, info) for info in infos])
    border, last = infos[0].num_tokens, stream.num_tokens - length
    starts = np.array([last, 0, border - 1, border, max(border - length, 0), *np.arange(0, last, 9973)])
    rows = stream.rows(starts, length)
    assert rows.dtype == np.uint16
    for row, start in zip(rows, starts.tolist(), strict=True):
        assert np.array_equal(row, stream.tokens(start, start + length))
    for outside in (-1, last + 1):
        with pytest.raises(IndexError, match="asked for"):
            stream.rows(np.array([0, outside]), length)


@pytest.mark.parametrize("block", [0, 1, 2, 3])
def test_rows_verify_every_block_that_they_touch(shard: tuple[Path, ShardInfo], block: int) -> None:
    flip(shard[0].with_suffix(".bin"), block * BLOCK + 5000)
    long_rows, short_rows = Shard(*shard), Shard(*shard)
    with pytest.raises(DamagedShard, match=f"block {block} "):
        long_rows.rows(np.array([0, 10]), long_rows.num_tokens - 10)
    with pytest.raises(DamagedShard, match=f"block {block} "):
        short_rows.rows(np.arange(0, short_rows.num_tokens - 100, 100), 100)
