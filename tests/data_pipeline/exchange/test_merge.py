"""Merged folders hold what their parts held; what can't be one folder is refused with what to do."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.exchange.errors import ExchangeError
from data_pipeline.exchange.merge import merge
from data_pipeline.shards.errors import DamagedShard, ShardError
from data_pipeline.shards.manifest import SPLITS, Manifest
from data_pipeline.shards.reader import open_split
from data_pipeline.shards.verify import verify
from data_pipeline.storage import DiskFull

Parts = tuple[Path, Path]


@pytest.fixture
def parts(finished: Path, tmp_path: Path) -> Parts:
    """Two folders of one tokenizer with the same sources; the second one's web has a budget."""
    first, second = (tmp_path / name for name in ("first", "second"))
    for folder in (first, second):
        folder.mkdir()
        shutil.copytree(finished / "shards", folder / "shards")
        for name in ("tokenizer.json", "manifest.json"):
            shutil.copy(finished / name, folder)
    manifest = Manifest.load(second)
    train = manifest.splits["train"]
    train["web"] = replace(train["web"], budget={"epochs": 2.0})
    manifest.save(second)
    return first, second


def renames_of(second: Path) -> dict[tuple[Path, str], str]:
    return {(second, "web"): "web2", (second, "books"): "novels"}


def tokens_of(folder: Path, split: str, source: str) -> np.ndarray:
    stream = open_split(folder, Manifest.load(folder), split)[source]
    return np.array(stream.tokens(0, stream.num_tokens))


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()  # linked files have other names
    path.write_bytes(data)


@pytest.mark.parametrize("link", [False, True])
def test_sources_keep_tokens_names_weights_and_budgets(parts: Parts, tmp_path: Path, link: bool) -> None:
    first, second = parts
    made = merge(tmp_path / "all", [first, second], renames_of(second), link)
    assert made == Manifest.load(tmp_path / "all") and not any(verify(tmp_path / "all").values())
    names = {"web": (first, "web"), "books": (first, "books"), "web2": (second, "web"), "novels": (second, "books")}
    for split in SPLITS:
        assert list(made.splits[split]) == ["books", "web", "novels", "web2"]
        for name, (folder, source) in names.items():
            before, after = Manifest.load(folder).splits[split][source], made.splits[split][name]
            assert np.array_equal(tokens_of(folder, split, source), tokens_of(tmp_path / "all", split, name))
            assert replace(after, shards=[]) == replace(before, shards=[])
            assert [each.name for each in after.shards] == [f"{name}_{n:05d}" for n in range(len(before.shards))]
    copied, original = tmp_path / "all/shards/train/web2_00000.bin", second / "shards/train/web_00000.bin"
    assert copied.samefile(original) == link
    assert {path.name for path in (tmp_path / "all").iterdir()} == {"manifest.json", "shards", "tokenizer.json"}


@pytest.mark.parametrize(
    ("first_seed", "second_seed", "merged"),
    [
        (0, 0, 0),
        (None, None, None),
        ("unknown", "unknown", "unknown"),
        ("several", "several", "several"),
        (0, 1, "several"),
        (0, None, "several"),
        ("unknown", None, "several"),
        ("several", 0, "several"),
    ],
)
def test_the_order_of_what_is_merged_is_not_taken_for_the_corpus_s(
    parts: Parts, tmp_path: Path, first_seed: object, second_seed: object, merged: object
) -> None:
    for folder, seed in zip(parts, (first_seed, second_seed), strict=True):
        replace(Manifest.load(folder), shuffle_seed=seed).save(folder)  # type: ignore[arg-type]
    merge(tmp_path / "all", [*parts], renames_of(parts[1]), link=True)
    assert Manifest.load(tmp_path / "all").shuffle_seed == merged


def test_tables_of_documents_come_along(parts: Parts, tmp_path: Path) -> None:
    first, second = parts
    table = second / "shards" / "train" / "web_00000.documents.parquet"
    if not table.exists():
        table.write_bytes(b"rows")
    merge(tmp_path / "all", [first, second], renames_of(second))
    assert (tmp_path / "all/shards/train/web2_00000.documents.parquet").read_bytes() == table.read_bytes()
    there = len(list((tmp_path / "all").rglob("*.documents.parquet")))
    assert there == sum(len(list(folder.rglob("*.documents.parquet"))) for folder in parts)


def test_where_a_disk_knows_no_links_files_are_copied(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", refuse)
    merge(tmp_path / "all", [*parts], renames_of(parts[1]), link=True)
    assert not any(verify(tmp_path / "all").values())


def test_a_name_that_occurs_twice_is_refused_with_what_to_type(parts: Parts, tmp_path: Path) -> None:
    first, second = parts
    with pytest.raises(ExchangeError) as caught:
        merge(tmp_path / "all", [first, second], {})
    assert f"{first} and {second} both have a source 'books'" in str(caught.value)
    assert f"--rename {second}/books=books2" in str(caught.value)
    with pytest.raises(
        ExchangeError, match=r"--rename .*/nothing: there is no such source; there are: .*first/books, "
    ):
        merge(tmp_path / "all", [first, second], {(second, "nothing"): "x"})
    with pytest.raises(ExchangeError, match="'a/b' names files"):
        merge(tmp_path / "all", [first, second], {(second, "web"): "a/b"})


def test_a_name_that_gives_two_shards_one_name_is_refused(parts: Parts, tmp_path: Path) -> None:
    first, second = parts
    manifest = Manifest.load(first)
    for split in SPLITS:
        sources = manifest.splits[split]
        sources["web2"] = replace(sources["web"])
        del sources["web"], sources["books"]
    manifest.save(first)
    with pytest.raises(ExchangeError, match="both have a source 'web2'"):
        merge(tmp_path / "all", [first, second], {(second, "web"): "web2"})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tokenizer_hash": "0" * 32}, "tokenizer_hash is 00000000000000000000000000000000, that of .*first is "),
        ({"vocab_size": 500}, "vocab_size is 500, that of .*first is 400"),
        ({"dtype": "int32"}, "dtype is int32, that of .*first is uint16"),
        ({"eot_id": 1}, "eot_id is 1, that of .*first is 0"),
    ],
)
def test_folders_that_differ_are_refused_with_both(parts: Parts, tmp_path: Path, change: dict, said: str) -> None:
    first, second = parts
    replace(Manifest.load(second), **change).save(second)
    with pytest.raises(ExchangeError, match=f"second: {said}"):
        merge(tmp_path / "all", [first, second], renames_of(second))
    assert not (tmp_path / "all").exists()


@pytest.mark.parametrize("link", [False, True])
@pytest.mark.parametrize("suffix", [".bin", ".idx", ".sum"])
def test_damage_is_noticed_on_the_way_and_a_rerun_goes_on(
    parts: Parts, tmp_path: Path, link: bool, suffix: str
) -> None:
    first, second = parts
    whole = (second / f"shards/train/web_00000{suffix}").read_bytes()
    damage(second / f"shards/train/web_00000{suffix}")
    with pytest.raises(DamagedShard, match=rf"web_00000\{suffix}"):
        merge(tmp_path / "all", [first, second], renames_of(second), link)
    assert not (tmp_path / "all").exists()
    done = tmp_path / ".all.unfinished/shards/train/web_00000.bin"
    before = done.stat()
    (second / f"shards/train/web_00000{suffix}").write_bytes(whole)
    merge(tmp_path / "all", [first, second], renames_of(second), link)
    after = (tmp_path / "all/shards/train/web_00000.bin").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert not any(verify(tmp_path / "all").values()) and not (tmp_path / ".all.unfinished").exists()


def test_what_a_stopped_merge_left_is_verified_before_it_is_used(parts: Parts, tmp_path: Path) -> None:
    first, second = parts
    damage(second / "shards/train/web_00000.bin")
    with pytest.raises(DamagedShard):
        merge(tmp_path / "all", [first, second], renames_of(second))
    whole = (first / "shards/train/web_00000.bin").read_bytes()
    damage(tmp_path / ".all.unfinished/shards/train/web_00000.bin")
    shutil.copy(first / "shards/train/web_00000.bin", second / "shards/train/web_00000.bin")  # the same tokens
    merge(tmp_path / "all", [first, second], renames_of(second))
    assert (tmp_path / "all/shards/train/web_00000.bin").read_bytes() == whole
    assert not any(verify(tmp_path / "all").values())


def test_another_merge_uses_nothing_of_a_stopped_one(parts: Parts, tmp_path: Path) -> None:
    first, second = parts
    damage(second / "shards/train/web_00000.bin")
    with pytest.raises(DamagedShard):
        merge(tmp_path / "all", [first, second], renames_of(second))
    merge(tmp_path / "all", [first], {})
    assert sorted(path.name for path in (tmp_path / "all/shards/train").glob("web*.sum")) == sorted(
        path.name for path in (first / "shards/train").glob("web*.sum")
    )
    assert not list((tmp_path / "all").rglob("web2*"))


def test_a_disk_without_room_is_asked_before(parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = type(shutil.disk_usage(tmp_path))(9, 9, 9)
    monkeypatch.setattr("data_pipeline.exchange.building.shutil.disk_usage", lambda path: full)
    with pytest.raises(DiskFull, match=r"[\d,]+ bytes needed, 9 bytes free; nothing was written"):
        merge(tmp_path / "all", [*parts], renames_of(parts[1]))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "second"]


def test_a_folder_that_is_there_is_left_alone(parts: Parts, tmp_path: Path) -> None:
    with pytest.raises(ExchangeError, match="first: is there already"):
        merge(parts[0], [*parts], renames_of(parts[1]))
    (tmp_path / "empty").mkdir()
    merge(tmp_path / "empty", [parts[0]], {})
    assert (tmp_path / "empty" / "manifest.json").is_file()


def test_what_is_no_data_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="absent is no folder"):
        merge(tmp_path / "all", [tmp_path / "absent"], {})
