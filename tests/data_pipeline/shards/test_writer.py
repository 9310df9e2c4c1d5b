"""Shards are what Megatron-Core's builder writes, whole or absent, the same however the documents come."""

from __future__ import annotations

import resource
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import xxhash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_pipeline.shards.errors import ShardError
from data_pipeline.shards.manifest import ShardInfo
from data_pipeline.shards.writer import Sharder, ShardWriter, SourceWriter
from foundation.errors import ConfigError, SettingError

WriteShard = Callable[..., ShardInfo]
Rule = Callable[[int, int], list[list[int]]]
SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)


def same_bytes(written: Path, fixture: Path) -> bool:
    return all(
        written.with_name(written.name + suffix).read_bytes() == fixture.with_name(fixture.name + suffix).read_bytes()
        for suffix in (".bin", ".idx")
    )


@pytest.mark.parametrize(("name", "count", "vocab_size"), [("uint16", 30, 65_499), ("int32", 15, 131_072)])
def test_bytes_are_those_of_megatrons_builder(
    tmp_path: Path, fixtures: Path, rule: Rule, write_shard: WriteShard, name: str, count: int, vocab_size: int
) -> None:
    info = write_shard(tmp_path / name, rule(count, vocab_size), name)
    assert same_bytes(tmp_path / name, fixtures / name)
    assert (info.name, info.num_documents) == (name, count)
    assert info.num_tokens == sum(map(len, rule(count, vocab_size)))


def test_edges_are_those_of_megatrons_builder(tmp_path: Path, fixtures: Path, write_shard: WriteShard) -> None:
    write_shard(tmp_path / "empty", [])
    write_shard(tmp_path / "short", [[0], [0], [65_498, 0]])
    assert same_bytes(tmp_path / "empty", fixtures / "empty")
    assert same_bytes(tmp_path / "short", fixtures / "one_token_documents")


def test_sums_are_the_hashes_of_the_blocks(tmp_path: Path, write_shard: WriteShard) -> None:
    rng = np.random.default_rng(0)
    info = write_shard(tmp_path / "s", [rng.integers(0, 60_000, n).tolist() for n in (1, 50_000, 3, 40_000, 32_767)])
    data, idx, sums = ((tmp_path / f"s{suffix}").read_bytes() for suffix in (".bin", ".idx", ".sum"))
    expected = b"GWSUM64K" + len(data).to_bytes(8, "little") + xxhash.xxh3_128_digest(idx)
    for start in range(0, len(data), 65_536):
        expected += xxhash.xxh3_128_digest(data[start : start + 65_536])
    assert sums == expected
    assert info.sum_hash == xxhash.xxh3_128_hexdigest(sums)


@SHARED
@given(lengths=st.lists(st.integers(0, 90), max_size=40), seed=st.integers(0, 99))
def test_batching_does_not_matter(tmp_path: Path, lengths: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    ids, counts = np.arange(sum(lengths), dtype=np.uint16), np.array(lengths, np.int32)
    ends = np.concatenate([[0], np.cumsum(counts)])
    written = []
    for name, cuts in (("whole", []), ("cut", sorted(rng.integers(0, len(lengths) + 1, 5).tolist()))):
        with SourceWriter(tmp_path / name, "s", np.dtype("uint16"), max_shard_bytes=200) as writer:
            for start, stop in zip([0, *cuts], [*cuts, len(lengths)], strict=True):
                writer.add(ids[ends[start] : ends[stop]], counts[start:stop])
            infos = writer.finish()
        written.append({info: (tmp_path / name / f"{info.name}.bin").read_bytes() for info in infos})
    assert written[0] == written[1]
    assert b"".join(written[0].values()) == ids.tobytes()
    assert sum(info.num_documents for info in written[0]) == len(lengths)
    assert all(info.num_tokens <= 100 or info.num_documents == 1 for info in written[0])


def test_a_longer_document_has_a_shard_of_its_own(tmp_path: Path) -> None:
    with SourceWriter(tmp_path, "s", np.dtype("uint16"), max_shard_bytes=20) as writer:
        writer.add(np.zeros(4 + 50 + 6 + 4 + 1, np.uint16), np.array([4, 50, 6, 4, 1], np.int32))
        infos = writer.finish()
    assert [(info.name, info.num_tokens) for info in infos] == [
        ("s_00000", 4),
        ("s_00001", 50),
        ("s_00002", 10),
        ("s_00003", 1),
    ]


def test_more_sources_are_written_at_a_time_than_files_may_be_open(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as stack:
        writers = [SourceWriter(tmp_path, f"s{n}", np.dtype("uint16"), 1 << 20) for n in range(300)]
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for number in range(3):
            for place, writer in enumerate(map(stack.enter_context, writers) if not number else writers):
                writer.add(np.full(2, place, np.uint16), np.array([2], np.int32))
        assert writers[7].finish()[0].num_documents == 3
    assert (tmp_path / "s7_00000.bin").read_bytes() == np.full(6, 7, np.uint16).tobytes()


def test_without_documents_there_is_no_shard(tmp_path: Path) -> None:
    with SourceWriter(tmp_path, "s", np.dtype("uint16"), 1 << 20) as writer:
        writer.add(np.zeros(0, np.uint16), np.zeros(0, np.int32))
        assert writer.finish() == []
    assert list(tmp_path.iterdir()) == []


def test_an_unfinished_shard_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="stop"), ShardWriter(tmp_path / "s", np.dtype("uint16")) as writer:
        writer.add(np.zeros(10, np.uint16), np.array([10], np.int32))
        raise RuntimeError("stop")
    with SourceWriter(tmp_path, "t", np.dtype("uint16"), 1 << 20) as source:
        source.add(np.zeros(10, np.uint16), np.array([10], np.int32))
    assert list(tmp_path.iterdir()) == []


def test_all_three_files_are_on_disk_before_one_has_its_name_and_sums_come_last(
    tmp_path: Path, write_shard: WriteShard, disk_events: list[str]
) -> None:
    write_shard(tmp_path / "s", [[1, 2, 0]])
    assert sorted(disk_events[:3]) == ["flush .s.bin", "flush .s.idx", "flush .s.sum"]
    assert sorted(disk_events[3:5]) == ["name s.bin", "name s.idx"]
    assert disk_events[5:] == ["name s.sum", f"flush {tmp_path.name}"]


def test_what_a_killed_run_left_is_overwritten(tmp_path: Path, write_shard: WriteShard) -> None:
    abandoned = ShardWriter(tmp_path / "s", np.dtype("uint16"))
    abandoned.add(np.full(5000, 9, np.uint16), np.array([5000], np.int32))  # and the process dies here
    write_shard(tmp_path / "s", [[1, 2, 0]])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.bin", "s.idx", "s.sum"]
    assert (tmp_path / "s.bin").read_bytes() == np.array([1, 2, 0], np.uint16).tobytes()


@pytest.mark.bad_input(47)
def test_ids_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "s", np.dtype("uint16")) as writer:
        for bad in (65_536, -1):
            with pytest.raises(ShardError, match=r"does not fit uint16.*shards.dtype"):
                writer.add(np.array([1, bad], np.int32), np.array([2], np.int32))
        with pytest.raises(AssertionError, match="lengths of 3 tokens for 2 ids"):
            writer.add(np.array([1, 2], np.uint16), np.array([3], np.int32))


@pytest.mark.parametrize(
    ("setting", "vocab_size", "dtype"),
    [("auto", 65_499, "uint16"), ("auto", 65_500, "int32"), ("uint16", 65_536, "uint16"), ("int32", 300, "int32")],
)
def test_dtype_follows_megatrons_rule_unless_set(setting: str, vocab_size: int, dtype: str) -> None:
    assert Sharder(dtype=setting).dtype_for(vocab_size) == np.dtype(dtype)  # type: ignore[arg-type]


def test_a_setting_that_cannot_work_is_refused_by_its_key() -> None:
    with pytest.raises(ConfigError, match=r"shards\.dtype: uint16 holds ids up to 65,535.*65,537"):
        Sharder(dtype="uint16").dtype_for(65_537)
    with pytest.raises(SettingError, match=r"^max_shard_bytes: 10 "):
        Sharder(max_shard_bytes=10)
