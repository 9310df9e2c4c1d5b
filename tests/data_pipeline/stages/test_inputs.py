"""Groups and partitions: cut by sizes and content alone, small files together, changes noticed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.sources.jsonl import Jsonl
from data_pipeline.sources.source import InputChanged
from data_pipeline.stages.inputs import Group, content_key, group_files
from foundation.errors import InputError


def write(folder: Path, sizes: list[int]) -> Jsonl:
    """Write files of so many lines of 21 bytes each."""
    for number, size in enumerate(sizes):
        lines = "".join(json.dumps({"text": f"{row:08d}"}) + "\n" for row in range(size))
        (folder / f"{number:04d}.jsonl").write_text(lines)
    return Jsonl([str(folder / "*.jsonl")])


@settings(max_examples=25)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=8), st.integers(21, 400))
def test_every_record_is_in_one_partition_in_order(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], partition_bytes: int
) -> None:
    source = write(tmp_path_factory.mktemp("files"), sizes)
    groups = group_files([source], partition_bytes)
    files = [each for group in groups for each in group.files]
    assert [each.number for each in files] == list(range(len(sizes)))
    found = []
    for group in groups:
        assert len(group.files) == 1 or sum(each.file.size_bytes for each in group.files) <= partition_bytes
        read: list[int] = []
        for blocks in group.partitions(partition_bytes, read.append):
            data = b"".join(numbered.block.data for numbered in blocks)
            assert len(data) <= partition_bytes
            for numbered in blocks:
                rows = numbered.block.data.splitlines()
                found += [(numbered.file.number, json.loads(line)["text"]) for line in rows]
        assert sum(read) == sum(each.file.size_bytes for each in group.files)  # progress ends at 100 %
    assert found == [(number, f"{row:08d}") for number, size in enumerate(sizes) for row in range(size)]


def test_small_files_share_a_group_and_neighbours_of_a_large_one_do_not(tmp_path: Path) -> None:
    source = write(tmp_path, [2, 2, 2, 50, 1, 1])
    assert [len(group.files) for group in group_files([source], 200)] == [3, 1, 2]
    assert [len(group.files) for group in group_files([source, source], 10_000)] == [6, 6]  # sources stay apart


def test_a_partition_is_known_by_its_content_and_place(tmp_path: Path) -> None:
    source = write(tmp_path, [3, 3])

    def keys() -> list[object]:
        (group,) = group_files([source], 10_000)
        return [content_key(blocks) for blocks in group.partitions(10_000, lambda read: None)]

    before = keys()
    assert keys() == before
    path = tmp_path / "0001.jsonl"
    path.write_text(path.read_text().replace("2", "3"))
    assert keys() != before
    path.write_text(path.read_text().replace("3", "2"))
    path.rename(tmp_path / "0002.jsonl")
    assert keys() != before  # the name is part of the documents' ids


@pytest.mark.bad_input(40)
def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    source = write(tmp_path, [50])
    (group,) = group_files([source], 100)
    partitions = group.partitions(100, lambda read: None)
    next(partitions)
    with (tmp_path / "0000.jsonl").open("a") as file:
        file.write('{"text": "late"}\n')
    with pytest.raises(InputChanged, match=r"0000\.jsonl: changed while it was read"):
        list(partitions)


def test_the_state_tells_a_rewritten_file_of_the_same_size(tmp_path: Path) -> None:
    source = write(tmp_path, [2])

    def state() -> object:
        return Group(0, source, group_files([source], 100)[0].files).state()

    before = state()
    assert state() == before
    (tmp_path / "0000.jsonl").write_text((tmp_path / "0000.jsonl").read_text().replace("0", "1"))
    assert state() != before


@pytest.mark.bad_input(40)
def test_a_file_that_went_after_it_was_listed_is_named(tmp_path: Path) -> None:
    source = write(tmp_path, [2])
    (group,) = group_files([source], 100)
    (tmp_path / "0000.jsonl").unlink()
    with pytest.raises(InputError, match=r"0000\.jsonl: can't be read \(No such file or directory\); put it back"):
        group.state()
