"""What the tests of the shards share: the builder's fixtures, written shards, whole data folders."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.shards.manifest import Manifest, ShardInfo, SourceManifest
from data_pipeline.shards.sums import BlockHasher
from data_pipeline.shards.writer import ShardWriter, SourceWriter
from foundation.hashes import hash_bytes

FIXTURES = Path(__file__).parent / "fixtures"
TOKENIZER = b'{"a": "tokenizer"}'

WriteShard = Callable[..., ShardInfo]
MakeFolder = Callable[..., Path]


@pytest.fixture
def fixtures() -> Path:
    return FIXTURES


@pytest.fixture
def built_by_megatron(tmp_path: Path) -> Callable[[str], Path]:
    """Copy a fixture and write our sums beside it; return the prefix."""

    def copy(name: str) -> Path:
        for suffix in (".bin", ".idx"):
            shutil.copy(FIXTURES / f"{name}{suffix}", tmp_path)
        hasher = BlockHasher()
        hasher.update(memoryview((tmp_path / f"{name}.bin").read_bytes()))
        sums = hasher.sums((tmp_path / f"{name}.idx").read_bytes())
        (tmp_path / f"{name}.sum").write_bytes(sums.to_bytes())
        return tmp_path / name

    return copy


@pytest.fixture
def rule() -> Callable[[int, int], list[list[int]]]:
    """The documents of the fixtures `uint16` and `int32`: see fixtures/README.md."""

    def documents(count: int, vocab_size: int) -> list[list[int]]:
        return [[(i * 7919 + j * 104729) % vocab_size for j in range(i * 37 % 211)] + [0] for i in range(count)]

    return documents


@pytest.fixture
def write_shard() -> WriteShard:
    def write(prefix: Path, documents: list[list[int]], dtype: str = "uint16") -> ShardInfo:
        with ShardWriter(prefix, np.dtype(dtype)) as writer:
            for document in documents:
                writer.add(np.array(document, dtype), np.array([len(document)], np.int32))
            return writer.finish()

    return write


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """Make a data folder with two sources, `a` of three shards and `b` of one, and one of them held out."""

    def make(vocab_size: int = 50_000) -> Path:
        rng = np.random.default_rng(7)
        splits: dict[str, dict[str, SourceManifest]] = {}
        for split, sources in {"train": {"a": 300, "b": 40}, "val": {"a": 20, "b": 0}}.items():
            splits[split] = {}
            for source, count in sources.items():
                lengths = rng.integers(1, 1500, count).astype(np.int32)
                ids = rng.integers(1, vocab_size, int(lengths.sum())).astype(np.uint16)
                with SourceWriter(tmp_path / "shards" / split, source, np.dtype("uint16"), 1 << 18) as writer:
                    writer.add(ids, lengths)
                    shards = writer.finish()
                splits[split][source] = SourceManifest(1.0, int(lengths.sum()), count, 4 * len(ids), shards)
        (tmp_path / "tokenizer.json").write_bytes(TOKENIZER)
        Manifest(hash_bytes(TOKENIZER), vocab_size, 0, "uint16", splits).save(tmp_path)
        return tmp_path

    return make
