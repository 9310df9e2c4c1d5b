"""Where the outputs go, and the folders that are refused."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from data_pipeline.output_dir import WORK, check_output_dir, choose_output_dir, patterns_of, reclaim
from data_pipeline.sources.jsonl import Jsonl
from data_pipeline.sources.source import InputFile
from data_pipeline.sources.synthetic import Synthetic
from foundation.errors import ConfigError


def test_the_folder_comes_from_the_name_or_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert choose_output_dir("web", None) == tmp_path / "data" / "web"
    assert choose_output_dir("web/v2", None) == tmp_path / "data" / "web" / "v2"
    assert choose_output_dir("web", "elsewhere") == tmp_path / "elsewhere"


@pytest.mark.parametrize("name", ["", "/etc", "../x", "a/../../x", ".", "a/./b"])
def test_a_name_stays_below_data(name: str) -> None:
    with pytest.raises(ConfigError, match="name: "):
        choose_output_dir(name, None)


@pytest.mark.parametrize(
    ("name", "output_dir", "message"),
    [
        ("\u00e9" * 128, None, "name: /.{50,230}: a folder's name has at most 255 bytes; give a shorter one"),
        ("web", "x" * 256, "output_dir: /.{50,230}: a folder's name has at most 255 bytes; give a shorter one"),
        ("web", "x/" * 3000, "output_dir: /.{100,230}: File name too long; give another one"),
    ],
)
def test_a_name_that_the_system_cannot_take_is_refused_by_its_key(
    name: str, output_dir: str | None, message: str
) -> None:
    with pytest.raises(ConfigError, match=f"^{message}$"):
        choose_output_dir(name, output_dir)
    assert choose_output_dir("x" * 255, None).name == "x" * 255


@pytest.mark.bad_input(52)
def test_folders_that_hold_something_else_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "in" / "deep" / "a.jsonl"
    text.parent.mkdir(parents=True)
    text.write_text("{}")
    inputs = [InputFile("a.jsonl", text, 2), InputFile("made", None, 0)]
    for holds_it in (text.parent, tmp_path / "in", tmp_path):
        with pytest.raises(ConfigError, match=r"output_dir: .* holds the input .*a\.jsonl"):
            check_output_dir(holds_it, inputs)
    link = tmp_path.parent / f"{tmp_path.name}_link"
    link.symlink_to(text.parent)
    with pytest.raises(ConfigError, match="holds the input"):
        check_output_dir(link, inputs)
    with pytest.raises(ConfigError, match="is a file"):
        check_output_dir(text, [])
    with pytest.raises(ConfigError, match=r"didn't write \(a\.jsonl"):
        check_output_dir(text.parent, [])


def test_new_empty_and_own_folders_are_taken(tmp_path: Path) -> None:
    check_output_dir(tmp_path / "new", [])
    check_output_dir(tmp_path, [])
    (tmp_path / ".lock").write_text("")
    check_output_dir(tmp_path, [])
    (tmp_path / "work").mkdir()
    (tmp_path / "manifest.json").write_text("{}")
    check_output_dir(tmp_path, [])


def test_reclaim_removes_what_killed_writers_left_and_looks_at_no_folder_of_others(tmp_path: Path) -> None:
    left = [".ledger.json.tmp7", "work/clean/.x.npz.tmp77", "shards/train/.x.bin.tmp", "removed/clean/.x.parquet.tmp1"]
    kept = ["ledger.json", "work/clean/x.npz", ".lock", f"v2/{WORK}/.x.npz.tmp3", "v2/.ledger.json.tmp3"]
    for name in (*left, *kept):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    reclaim(tmp_path)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == sorted(kept)


@pytest.mark.parametrize(
    ("pattern", "is_refused"),
    [
        ("in/**/*.jsonl", True),
        ("**/*.parquet", True),
        ("in/*/*.json", True),  # ledger.json
        ("in/**/*", True),
        ("in/*.jsonl", False),
        ("in/**/*.jsonl.zst", False),  # nothing is written under such a name
        ("other/**/*.jsonl", False),
        ("s3://in/**/*.jsonl", False),
    ],
)
def test_a_folder_that_would_be_input_the_next_time_is_refused_the_first_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, is_refused: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    patterns = patterns_of([Jsonl([pattern]), Synthetic()])
    message = r"^output_dir: .*out lies where '.*' looks for input, .*set name= or"
    with pytest.raises(ConfigError, match=message) if is_refused else contextlib.nullcontext():
        check_output_dir(tmp_path / "in" / "out", [], patterns)
