from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.sources.inputs import check_paths, check_source, find_files
from foundation.errors import InputError, SettingError

Write = Callable[[str, bytes], str]


def names(paths: list[str]) -> list[str]:
    return [file.name for file in find_files(paths, "web")]


@pytest.mark.bad_input(42)
def test_files_are_sorted_and_each_comes_once(write: Write, tmp_path: Path) -> None:
    write("b.jsonl", b"1")
    write("a.jsonl", b"22")
    (tmp_path / "z.jsonl").symlink_to(tmp_path / "a.jsonl")
    found = find_files([f"{tmp_path}/*.jsonl", f"{tmp_path}/b.jsonl", f"{tmp_path}/../{tmp_path.name}/b*"], "web")
    assert [(file.name, file.size_bytes) for file in found] == [("a.jsonl", 2), ("b.jsonl", 1)]


@pytest.mark.bad_input(42)
def test_a_file_with_several_names_is_read_once_and_the_others_are_told(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write("a.jsonl", b"1")
    write("deep/d.jsonl", b"1")  # as long, and another
    (tmp_path / "b.jsonl").hardlink_to(tmp_path / "a.jsonl")
    (tmp_path / "c.jsonl").symlink_to("b.jsonl")
    (tmp_path / "deep" / "again").symlink_to(tmp_path)
    found = names([f"{tmp_path}/**/*.jsonl", f"{tmp_path}/*.jsonl", f"{tmp_path}/deep/again/deep/d.jsonl"])
    assert found == ["a.jsonl", "deep/again/deep/d.jsonl"]
    told = [f"{tmp_path}/{name}.jsonl: is the same file as {tmp_path}/a.jsonl, by a link; read once" for name in "bc"]
    last = f"{tmp_path}/deep/d.jsonl: is the same file as {tmp_path}/deep/again/deep/d.jsonl, by a link; read once"
    assert capsys.readouterr().err.splitlines() == [*told, last]


def test_names_say_nothing_of_the_folder_that_all_files_share(write: Write, tmp_path: Path) -> None:
    for name in ("dump/x/part.jsonl", "dump/y/part.jsonl", "dump/y/deep/part.jsonl"):
        write(name, b"")
    assert names([f"{tmp_path}/dump/**/*.jsonl"]) == ["x/part.jsonl", "y/deep/part.jsonl", "y/part.jsonl"]
    assert names([f"{tmp_path}/dump/x/*"]) == ["part.jsonl"]


def test_relative_patterns_start_at_the_working_folder(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("in [brackets]/a.txt", b"")
    monkeypatch.chdir(tmp_path / "in [brackets]")
    assert names(["*.txt"]) == names(["a.txt"]) == ["a.txt"]
    assert names(["../in [brackets]/a.txt"]) == ["a.txt"]  # what exists is taken literally


@pytest.mark.bad_input(11)
def test_empty_glob_names_pattern_source_and_nearest_path(write: Write, tmp_path: Path) -> None:
    write("dumps/web.jsonl.zst", b"")
    with pytest.raises(InputError) as caught:
        names([f"{tmp_path}/dump/*.jsonl"])
    message = str(caught.value)
    assert f"'{tmp_path}/dump/*.jsonl' of source 'web'" in message
    assert f"nearest existing path is {tmp_path}/dumps" in message
    with pytest.raises(InputError, match=rf"nearest existing path is {tmp_path}/dumps/web\.jsonl\.zst"):
        names([f"{tmp_path}/dumps/web.jsonl.zs"])


@pytest.mark.bad_input(11)
def test_a_mistyped_pattern_among_good_ones_is_no_less_an_error(write: Write, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing_here"):
        names([write("a.txt", b""), f"{tmp_path}/nothing_here*"])


@pytest.mark.bad_input(41)
def test_folder_fifo_and_dangling_link_are_refused(write: Write, tmp_path: Path) -> None:
    (tmp_path / "folder.jsonl").mkdir()
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "gone.jsonl").symlink_to(tmp_path / "missing")
    for name, problem in (("folder", "is a folder"), ("pipe", "neither a file"), ("gone", "can't be read")):
        with pytest.raises(InputError, match=problem):
            names([str(tmp_path / f"{name}.jsonl")])
        with pytest.raises(InputError, match=problem):
            names([f"{tmp_path}/{name}*.jsonl"])


def test_folders_beside_the_files_of_a_star_are_passed_over(write: Write, tmp_path: Path) -> None:
    write("sub/b.txt", b"")
    write("a.txt", b"")
    assert names([f"{tmp_path}/*"]) == ["a.txt"]
    assert names([f"{tmp_path}/**"]) == ["a.txt", "sub/b.txt"]


def test_a_name_that_is_no_utf8_is_shown_with_codes(tmp_path: Path) -> None:
    try:
        (tmp_path / os.fsdecode(b"caf\xe9.txt")).write_bytes(b"")
    except OSError:
        pytest.skip("the file system only takes UTF-8 names")
    assert names([f"{tmp_path}/*.txt"]) == ["caf\\xe9.txt"]


@pytest.mark.parametrize("source", ["", "../x", "a/b", ".hidden", "a b", "x" * 101, "é"])
def test_a_source_name_that_cannot_be_part_of_a_file_name_is_refused(source: str) -> None:
    with pytest.raises(SettingError, match=r"^source: "):
        check_source(source, 1.0)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_a_weight_that_is_no_share_is_refused(weight: float) -> None:
    with pytest.raises(SettingError, match=r"^weight: "):
        check_source("web", weight)


@pytest.mark.parametrize(
    "budget", [{}, {"epochs": 0}, {"tokens": -1}, {"tokens": 1e30}, {"epochs": 1, "tokens": 1}, {"epoch": 1}, 2]
)
def test_what_is_no_budget_is_refused(budget: Any) -> None:
    with pytest.raises(SettingError, match=r"^budget: .* give one of tokens and epochs .*, or null for the weight"):
        check_source("web", 1.0, budget)


def test_a_tag_without_a_name_or_a_text_is_no_tag() -> None:
    check_source("web", 1.0, None, {"domain": "law"})
    with pytest.raises(SettingError, match=r"^tags: \{'': 'law'\} is not allowed; give names, none empty"):
        check_source("web", 1.0, None, {"": "law"})


@pytest.mark.parametrize("paths", [[], [""]])
def test_no_path_is_an_error(paths: list[str]) -> None:
    with pytest.raises(SettingError, match=r"^paths: "):
        check_paths(paths)
