"""Every changed, cut, missing, foreign or swapped file of a checkpoint is found, whatever bit it is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
import pytest
import torch

from foundation.files import pretty_json
from foundation.hashes import hash_json
from pretrain.checkpoint.errors import DamagedCheckpoint, NewerCheckpoint
from pretrain.checkpoint.integrity import (
    MANIFEST,
    commit,
    folder_name,
    read_manifest,
    remove,
    remove_leftovers,
    set_aside,
    step_folders,
    verify,
)
from pretrain.checkpoint.labels import LABEL

# all but the label, whose bytes are an opinion that changes: test_labels.py
FILES = ["facts.json", "manifest.json", "metadata.json", "rank_00000.bin", "rank_00000.json", "rank_00000.sum"]


def test_a_checkpoint_as_it_was_saved_has_no_problem(saved: Path) -> None:
    assert sorted(path.name for path in saved.iterdir()) == sorted([*FILES, LABEL])
    assert verify(saved) == []
    manifest = read_manifest(saved)
    assert (manifest.step, manifest.world_size, manifest.healthy) == (10, 1, True)
    for name, file in manifest.files.items():
        assert file.size_bytes == (saved / name).stat().st_size


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_at_any_position_is_found(saved: Path, name: str) -> None:
    whole = (saved / name).read_bytes()
    random = np.random.default_rng(len(name))
    positions = {0, len(whole) - 1, *random.integers(0, len(whole), size=200).tolist()}
    for position in positions:
        flipped = bytearray(whole)
        flipped[position] ^= 1 << int(random.integers(8))
        (saved / name).write_bytes(flipped)
        problems = verify(saved)
        assert problems and name.split(".")[0] in problems[0], (name, position)
    (saved / name).write_bytes(whole)
    assert verify(saved) == []


@pytest.mark.parametrize("name", FILES)
def test_a_cut_or_longer_file_is_found_and_named_with_both_sizes(saved: Path, name: str) -> None:
    whole = (saved / name).read_bytes()
    for changed in (b"", whole[:1], whole[: len(whole) // 2], whole[:-1], whole + b"\0", whole + whole):
        (saved / name).write_bytes(changed)
        problems = verify(saved)
        assert problems and str(saved / name) in problems[0]
        if name != "manifest.json":
            assert f"{len(changed)} bytes, {len(whole)} were saved" in problems[0]


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_found(saved: Path, name: str) -> None:
    (saved / name).unlink()
    assert f"{saved / name}: missing" in verify(saved)[0]


@pytest.mark.parametrize("name", [name for name in FILES if name != "metadata.json"])  # the same bytes in both
def test_a_file_of_another_checkpoint_is_found(
    saved: Path, name: str, checkpointer: object, make_state: Callable[..., object]
) -> None:
    torch.rand(())  # another random state
    checkpointer.save(20, make_state(20))
    other = saved.with_name(folder_name(20))
    shutil.copy(other / name, saved / name)
    assert verify(saved) and verify(other) == []


def test_a_folder_under_another_step_is_found(saved: Path) -> None:
    moved = saved.with_name(folder_name(30))
    saved.rename(moved)
    assert "its manifest says step 10" in verify(moved)[0]
    elsewhere = saved.with_name("best")
    moved.rename(elsewhere)
    assert verify(elsewhere) == []  # a copy may be called what one likes


def test_a_foreign_file_is_found_and_a_hidden_one_is_not_looked_at(saved: Path) -> None:
    (saved / ".nfs0001").write_bytes(b"x")
    assert verify(saved) == []
    (saved / "rank_00001.bin").write_bytes(b"x")
    assert "rank_00001.bin: not in the manifest" in verify(saved)[0]


def test_a_folder_without_a_manifest_is_no_checkpoint(tmp_path: Path) -> None:
    assert "no checkpoint" in verify(tmp_path)[0] and "missing" in verify(tmp_path / "absent")[0]


@pytest.mark.parametrize(
    "content",
    [
        {"format": 1},
        {"format": 1, "step": 10, "world_size": 1, "not_finite": [], "files": {"../../etc/passwd": {}}},
        {
            "format": 1,
            "step": 10,
            "world_size": 1,
            "not_finite": [],
            "files": {"/etc/hostname.json": {"size_bytes": 1, "hash": ""}},
        },
        {"format": 1, "step": 10, "world_size": 1, "not_finite": [], "files": []},
    ],
)
def test_a_manifest_that_is_none_is_refused_though_its_hash_fits(saved: Path, content: dict[str, object]) -> None:
    (saved / "manifest.json").write_bytes(pretty_json({**content, "hash": hash_json(content)}))
    with pytest.raises(DamagedCheckpoint, match=r"manifest\.json: not a manifest"):
        read_manifest(saved)


@pytest.mark.parametrize("data", [b"", b"[]", b"\x80\x04N.", b"{", b"null", b'{"hash": 1}'])
def test_a_manifest_that_is_no_json_object_is_refused(saved: Path, data: bytes) -> None:
    (saved / "manifest.json").write_bytes(data)
    with pytest.raises(DamagedCheckpoint):
        read_manifest(saved)


def test_a_newer_format_is_said_to_be_newer(saved: Path) -> None:
    content = orjson.loads((saved / "manifest.json").read_bytes())
    del content["hash"]
    content["format"] = 2
    (saved / "manifest.json").write_bytes(pretty_json({**content, "hash": hash_json(content)}))
    with pytest.raises(NewerCheckpoint, match="format 2, this version reads 1; update"):
        read_manifest(saved)


def test_folders_are_ordered_by_step_and_others_ignored(tmp_path: Path) -> None:
    for name in ("step_00000100", "step_100000000", "step_99999999", ".step_00000200.saving", "step_5", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "step_00000300").write_bytes(b"a file")
    names = ["step_100000000", "step_99999999", "step_00000100"]
    assert [path.name for path in step_folders(tmp_path)] == names
    assert [path.name for path in step_folders(tmp_path, after=100)] == names[:2]
    assert step_folders(tmp_path / "absent") == []


def test_setting_aside_keeps_every_one(saved: Path) -> None:
    names = []
    for number in range(3):
        shutil.copytree(saved, saved.with_name("copy"))
        names.append(set_aside(saved).name)
        saved.with_name("copy").rename(saved)
        assert names[-1] == f"step_00000010.set_aside{number + 1}"
    assert step_folders(saved.parent) == [saved]


@pytest.mark.parametrize("leads_to", ["away", "step_00000010"])
def test_a_link_by_the_name_of_a_checkpoint_is_set_aside(saved: Path, leads_to: str) -> None:
    manifest = read_manifest(saved)
    final, temporary = saved.with_name("step_00000020"), saved.with_name(".step_00000020.saving")
    shutil.copytree(saved, temporary)
    (temporary / MANIFEST).unlink()
    final.symlink_to(leads_to)
    final.with_name("step_00000020.set_aside1").symlink_to("nowhere")
    commit(temporary, final, manifest)
    assert final.is_dir() and not final.is_symlink()
    assert final.with_name("step_00000020.set_aside2").is_symlink()
    assert read_manifest(saved) == manifest


def test_removal_leaves_nothing_and_leftovers_go(saved: Path) -> None:
    half = saved.with_name(".step_00000020.saving")
    half.mkdir()
    (half / "rank_00000.bin").write_bytes(b"x")
    remove(saved)
    remove_leftovers(saved.parent)
    assert list(saved.parent.iterdir()) == []
