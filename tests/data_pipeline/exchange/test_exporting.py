"""Exports are, byte for byte, the layouts that llm.c and nanoGPT publish; imported again they are what they were."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from data_pipeline.exchange.errors import ExchangeError
from data_pipeline.exchange.exporting import export
from data_pipeline.shards.errors import DamagedShard
from data_pipeline.shards.manifest import Manifest
from data_pipeline.shards.reader import open_split
from foundation.errors import SettingError
from tests.data_pipeline.exchange.writers import Documents, llmc_bytes


def tokens_of(folder: Path, split: str, source: str) -> list[int]:
    stream = open_split(folder, Manifest.load(folder), split)[source]
    return stream.tokens(0, stream.num_tokens).tolist()


def test_llmc_files_byte_for_byte(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export(tmp_path / "out", finished, "llmc", 10_000)
    assert "the mixture is not carried over: llm.c" in capsys.readouterr().err
    names = []
    for source in ("web", "books"):
        number = 0
        for split in ("val", "train"):
            tokens = tokens_of(finished, split, source)
            moved = [0, *tokens[:-1]]  # its documents begin with end-of-text
            assert tokens[-1] == 0
            sizes: list[int] = []
            while moved:
                names.append(f"{source}_{split}_{number:06d}.bin")
                written = (tmp_path / "out" / names[-1]).read_bytes()
                count = (len(written) - 1024) // 2
                assert written == llmc_bytes(moved[:count])
                sizes.append(count)
                moved, number = moved[count:], number + 1
            assert max(sizes) <= 10_000 and max(sizes) - min(sizes) <= 1
    assert len(names) > 5
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*names, "tokenizer.json"}


def test_nanogpt_files_byte_for_byte(finished: Path, tmp_path: Path) -> None:
    export(tmp_path / "out", finished, "nanogpt")
    for split in ("train", "val"):
        tokens = [number for source in ("books", "web") for number in tokens_of(finished, split, source)]
        assert (tmp_path / "out" / f"{split}.bin").read_bytes() == struct.pack(f"<{len(tokens)}H", *tokens)
    assert (tmp_path / "out" / "tokenizer.json").read_bytes() == (finished / "tokenizer.json").read_bytes()


@pytest.mark.parametrize("trainer", ["llmc", "nanogpt"])
@pytest.mark.parametrize("shard_tokens", [97, 997, 100_000_000])
def test_what_was_exported_comes_back(
    finished: Path,
    tmp_path: Path,
    bring_in: Callable[..., Manifest],
    back: Callable[..., Documents],
    documents: Documents,
    trainer: str,
    shard_tokens: int,
) -> None:
    files = export(tmp_path / "out", finished, trainer, shard_tokens)
    train = [path for path in files if "train" in path.name]
    val = [path for path in files if ("val" in path.name and "web" in path.name) or path.name == "val.bin"]
    made = bring_in(trainer, *train, val=val)
    assert sorted(back()) == sorted(documents)
    before = Manifest.load(finished).splits["train"]
    assert made.splits["train"]["other"].utf8_bytes == sum(source.utf8_bytes for source in before.values())


def test_a_vocabulary_beyond_uint16_is_refused(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "large"
    folder.mkdir()
    replace(Manifest.load(finished), vocab_size=65_537, dtype="int32").save(folder)
    with pytest.raises(ExchangeError, match=r"int32, of a vocabulary of 65,537; llm\.c holds uint16"):
        export(tmp_path / "out", folder, "llmc")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["large"]


def test_a_split_without_tokens_is_told(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, manifest = tmp_path / "data", Manifest.load(finished)
    shutil.copytree(finished, folder)
    replace(manifest, splits={"train": manifest.splits["train"], "val": {}}).save(folder)
    assert [path.name for path in export(tmp_path / "out", folder, "nanogpt")] == ["train.bin"]
    assert f"warning: {folder} holds no tokens in val: nanoGPT gets no file of it\n" in capsys.readouterr().err


def test_damaged_shards_are_not_exported(out: Path, tmp_path: Path) -> None:
    path = out / "shards" / "train" / "web_00000.bin"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedShard, match=r"web_00000\.bin: block 0"):
        export(tmp_path / "there", out, "llmc")
    assert not (tmp_path / "there").exists()


def test_a_size_that_no_header_can_tell_is_refused(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="--shard-tokens: 2147483648 is not allowed"):
        export(tmp_path / "out", finished, "llmc", 1 << 31)
