"""A whole folder is judged in one pass: nothing wrong is missed, nothing healthy is named."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from data_pipeline.shards.errors import ShardError
from data_pipeline.shards.manifest import Manifest, SourceManifest, documents_path
from data_pipeline.shards.sums import Sums, read_sums
from data_pipeline.shards.verify import verify
from foundation.hashes import BLOCK_BYTES, hash_file


def damage(folder: Path) -> None:
    """Two blocks of one shard, the index of another, the tokenizer."""
    train = folder / "shards" / "train"
    data = bytearray((train / "a_00001.bin").read_bytes())
    data[10] ^= 1
    data[-1] ^= 128
    (train / "a_00001.bin").write_bytes(data)
    (train / "b_00000.idx").unlink()
    (folder / "tokenizer.json").write_bytes(b"{}")


def type_line(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "data_pipeline.shards", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_names_everything_that_is_wrong_and_nothing_else(make_folder: Callable[..., Path]) -> None:
    folder = make_folder()
    assert not any(verify(folder).values())
    damage(folder)
    found = {name: [each.problem for each in problems] for name, problems in verify(folder).items() if problems}
    assert list(found) == ["tokenizer.json", "train/a_00001", "train/b_00000"]
    (foreign,), (first, last), (missing,) = found.values()
    assert "not the shards' own" in foreign and "b_00000.idx: missing" in missing
    assert "a_00001.bin: block 0 " in first and "a_00001.bin: block 3 " in last


def test_the_command_says_of_each_shard_whether_it_is_ok(make_folder: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_folder()
    healthy = type_line("verify", str(folder))
    assert healthy.returncode == 0 and "train/a_00001: ok\n" in healthy.stdout and "damaged" not in healthy.stdout
    damage(folder)
    damaged = type_line("verify", str(folder))
    assert damaged.returncode == 1
    assert "train/a_00000: ok\n" in damaged.stdout and "train/a_00001: damaged\n" in damaged.stdout
    assert "a_00001.bin: block 0 (bytes 0 to 65,536)" in damaged.stdout and "python -m data_pipeline" in damaged.stdout
    nothing = type_line("verify", str(tmp_path / "absent"))
    assert nothing.returncode == 2 and nothing.stderr.startswith("error: ") and "Traceback" not in nothing.stderr


def test_its_help_says_the_exit_codes() -> None:
    assert "1 something is damaged" in " ".join(type_line("verify", "--help").stdout.split())


def test_without_a_manifest_nothing_is_judged(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="python -m data_pipeline"):
        verify(tmp_path)


@pytest.mark.parametrize("damage", ["flipped", "no JSON", "a key less"])
def test_a_damaged_manifest_is_damage(make_folder: Callable[..., Path], damage: str) -> None:
    folder = make_folder()
    path = folder / "manifest.json"
    data = path.read_bytes()
    changed = {
        "flipped": data.replace(b'"weight": 1.0', b'"weight": 3.0', 1),
        "no JSON": data[:-9],
        "a key less": data.replace(b'"eot_id"', b'"eot_ie"'),
    }
    assert changed[damage] != data
    path.write_bytes(changed[damage])
    damaged = type_line("verify", str(folder))
    assert damaged.returncode == 1 and damaged.stdout.startswith(f"manifest.json: damaged\n  {path}: ")
    assert "a merge or an import makes a new folder" in damaged.stdout and not damaged.stderr


def test_files_that_the_manifest_does_not_speak_of_are_listed(make_folder: Callable[..., Path]) -> None:
    folder = make_folder()
    train = folder / "shards" / "train"
    for suffix in (".bin", ".idx", ".sum"):
        (train / f"old_00000{suffix}").write_bytes((train / f"a_00000{suffix}").read_bytes())
    (folder / "shards" / "notes.txt").write_text("mine")
    (train / "a_00000.documents.parquet").write_bytes(b"of a shard that has one, or had")
    listed = type_line("verify", str(folder))
    said = ": the manifest does not speak of it, no run reads it"
    assert listed.returncode == 0
    assert [line.removesuffix(said) for line in listed.stdout.splitlines() if line.endswith(said)] == [
        "shards/notes.txt",
        *(f"shards/train/old_00000{suffix}" for suffix in (".bin", ".idx", ".sum")),
    ]


def problems_of(folder: Path) -> dict[str, list[str]]:
    return {name: [each.problem for each in problems] for name, problems in verify(folder).items() if problems}


def swap(first: Path, second: Path) -> None:
    data = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(data)


def put(path: Path, block: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(block * BLOCK_BYTES)
        file.write(data)


def block_of(path: Path, block: int) -> bytes:
    return path.read_bytes()[block * BLOCK_BYTES : (block + 1) * BLOCK_BYTES]


def test_blocks_of_another_shard_are_named_as_its_own(make_folder: Callable[..., Path]) -> None:
    folder = make_folder()
    train = folder / "shards" / "train"
    put(train / "a_00000.bin", 1, block_of(train / "b_00000.bin", 0))
    put(train / "a_00001.bin", 0, block_of(train / "a_00000.bin", 2))
    found = problems_of(folder)
    assert list(found) == ["train/a_00000", "train/a_00001"]
    assert found["train/a_00000"] == [
        f"{train / 'a_00000.bin'}: block 1 (bytes 65,536 to 131,072) is not what was written: it is block 0 of "
        "train/b_00000"
    ]
    assert found["train/a_00001"][0].endswith(
        "block 0 (bytes 0 to 65,536) is not what was written: it is block 2 of train/a_00000"
    )


@pytest.mark.parametrize("at_a_time", [1, 2, 1 << 20])
def test_the_sums_are_read_once_however_many_shards_are_damaged(
    make_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, at_a_time: int
) -> None:
    folder = make_folder()
    train = folder / "shards" / "train"
    names = ["a_00000", "a_00001", "b_00000"]
    first = {name: block_of(train / f"{name}.bin", 0) for name in names}
    for name, other in zip(names, [*names[1:], names[0]], strict=True):
        put(train / f"{name}.bin", 0, first[other])
    reads: list[Path] = []

    def counted(path: Path, expected_hash: str | None) -> Sums:
        reads.append(path)
        return read_sums(path, expected_hash)

    monkeypatch.setattr("data_pipeline.shards.owners.read_sums", counted)
    monkeypatch.setattr("data_pipeline.shards.verify.WRONG_BLOCKS", at_a_time)
    found = problems_of(folder)
    for name, other in zip(names, [*names[1:], names[0]], strict=True):
        assert [line.rpartition(": ")[2] for line in found[f"train/{name}"]] == [f"it is block 0 of train/{other}"]
    num_shards = len(list(folder.rglob("*.sum")))
    assert len(reads) == num_shards * -(-len(names) // at_a_time)


def test_a_run_of_blocks_is_one_line_and_zeros_are_named(make_folder: Callable[..., Path]) -> None:
    folder = make_folder()
    train = folder / "shards" / "train"
    put(train / "a_00000.bin", 0, block_of(train / "a_00001.bin", 0) + block_of(train / "a_00001.bin", 1))
    put(train / "a_00000.bin", 2, bytes(BLOCK_BYTES))
    (run, zeros) = problems_of(folder)["train/a_00000"]
    assert run.endswith(
        "blocks 0 to 1 (bytes 0 to 131,072) are not what was written: they are blocks 0 to 1 of train/a_00001"
    )
    assert "block 2 (bytes 131,072 to 196,608)" in zeros and "zeros alone" in zeros


def test_blocks_that_changed_places_in_one_file_are_seen(make_folder: Callable[..., Path]) -> None:
    folder = make_folder()
    path = folder / "shards" / "train" / "a_00000.bin"
    first, second = block_of(path, 0), block_of(path, 1)
    put(path, 0, second + first)
    moved = problems_of(folder)["train/a_00000"]
    assert [line.rpartition(": ")[2] for line in moved] == [
        "it is block 1 of train/a_00000",
        "it is block 0 of train/a_00000",
    ]


def with_tables(folder: Path) -> Path:
    """Write a table beside each shard, which the manifest vouches for; verify reads no more of it than its hash."""
    manifest = Manifest.load(folder)
    for split, sources in manifest.splits.items():
        for name, source in sources.items():
            for info in source.shards:
                table = documents_path(folder / "shards" / split / info.name)
                table.write_text(f"{split} {info.name}")
            hashed = [
                replace(info, documents_hash=hash_file(documents_path(folder / "shards" / split / info.name)))
                for info in source.shards
            ]
            sources[name] = replace(source, shards=hashed)
    manifest.save(folder)
    return folder


@pytest.mark.parametrize("suffix", [".bin", ".idx", ".sum", ".documents.parquet"])
def test_files_of_two_shards_that_changed_places_are_named(make_folder: Callable[..., Path], suffix: str) -> None:
    folder = with_tables(make_folder())
    train = folder / "shards" / "train"
    assert not problems_of(folder)
    swap(train / f"a_00000{suffix}", train / f"b_00000{suffix}")
    found = problems_of(folder)
    assert list(found) == ["train/a_00000", "train/b_00000"]
    assert "of train/b_00000" in " ".join(found["train/a_00000"])
    assert "of train/a_00000" in " ".join(found["train/b_00000"])


@pytest.mark.parametrize("left", [0, 1, BLOCK_BYTES, BLOCK_BYTES + 2, -1])
def test_a_file_that_was_cut_is_named_once_with_the_block(make_folder: Callable[..., Path], left: int) -> None:
    folder = make_folder()
    path = folder / "shards" / "train" / "a_00000.bin"
    whole = path.read_bytes()
    path.write_bytes(whole[:left])
    (line,) = problems_of(folder)["train/a_00000"]
    assert f"cut short: {len(whole[:left]):,} bytes" in line
    assert line.endswith(f"what is missing begins in block {len(whole[:left]) // BLOCK_BYTES}")


def test_what_stands_behind_the_end_hides_no_damage_before_it(make_folder: Callable[..., Path]) -> None:
    folder = make_folder()
    path = folder / "shards" / "train" / "a_00000.bin"
    data = bytearray(path.read_bytes() + b"more")
    data[70_000] ^= 4
    path.write_bytes(data)
    longer, flipped = problems_of(folder)["train/a_00000"]
    assert "longer than it was written" in longer and "block 1 " in flipped


def test_an_id_above_the_vocabulary_is_named_with_its_place(make_folder: Callable[..., Path]) -> None:
    folder = make_folder()
    manifest = Manifest.load(folder)
    smaller = Manifest(manifest.tokenizer_hash, 49_000, 0, "uint16", manifest.splits)
    smaller.save(folder)
    tokens = memoryview((folder / "shards" / "val" / "a_00000.bin").read_bytes()).cast("H")
    place = next(place for place, number in enumerate(tokens) if number >= 49_000)
    (line,) = problems_of(folder)["val/a_00000"]
    assert f"token {place} has id {tokens[place]}, the vocabulary ends at 48999" in line


def test_a_sector_that_the_disk_gives_up_is_damage(
    make_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder()
    read = os.pread

    def pread(descriptor: int, size: int, offset: int) -> bytes:
        if Path(f"/proc/self/fd/{descriptor}").readlink().name == "a_00001.bin":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", pread)
    found = problems_of(folder)
    assert (
        list(found) == ["train/a_00001"]
        and "can't be read to its end (Input/output error)" in found["train/a_00001"][0]
    )


def test_a_cut_shard_that_has_a_twin_is_cut_and_no_more(make_folder: Callable[..., Path]) -> None:
    folder = make_folder()
    train, manifest = folder / "shards" / "train", Manifest.load(folder)
    first, *_ = manifest.splits["train"]["a"].shards
    for suffix in (".bin", ".idx", ".sum"):
        (train / f"twin{suffix}").write_bytes((train / f"{first.name}{suffix}").read_bytes())
    twin = SourceManifest(1.0, first.num_tokens, first.num_documents, 9, [replace(first, name="twin")])
    manifest.splits["train"]["twin"] = twin
    manifest.save(folder)
    (train / "twin.bin").write_bytes((train / "twin.bin").read_bytes()[:70_000])
    (line,) = problems_of(folder)["train/twin"]
    assert line.endswith("what is missing begins in block 1")
