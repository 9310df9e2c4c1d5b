"""Data folders written by the pipeline's own writer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.shards.manifest import Manifest, SourceManifest
from data_pipeline.shards.writer import SourceWriter
from foundation.hashes import hash_bytes

EOT = 0
VOCAB_SIZE = 1000
Folder = Callable[..., Path]


def write_split(
    folder: Path, documents: dict[str, list[np.ndarray]], weight: float, budget: dict[str, float] | None = None
) -> dict[str, SourceManifest]:
    split = {}
    for source, texts in documents.items():
        ids = np.concatenate([np.append(text, EOT) for text in texts])
        lengths = np.array([len(text) + 1 for text in texts], dtype=np.int32)
        with SourceWriter(folder, source, np.dtype("<u2"), max_shard_bytes=5000) as writer:
            writer.add(ids, lengths)
            shards = writer.finish()
        split[source] = SourceManifest(weight, len(ids), len(texts), 2 * sum(map(len, texts)), shards, budget)
    return split


@pytest.fixture
def documents() -> Callable[[int, int], list[np.ndarray]]:
    """Make documents of random ids and unequal lengths: (count, seed) -> documents without their end-of-text."""

    def make(count: int, seed: int) -> list[np.ndarray]:
        rng = np.random.default_rng(seed)
        return [rng.integers(1, VOCAB_SIZE, rng.integers(1, 200)).astype(np.uint16) for _ in range(count)]

    return make


@pytest.fixture
def make_folder(tmp_path: Path) -> Folder:
    """Write a data folder: (train={source: documents}, val=..., weights={source: w}, budgets=...) -> its path."""

    def make(
        train: dict[str, list[np.ndarray]],
        val: dict[str, list[np.ndarray]] | None = None,
        weights: dict[str, float] | None = None,
        budgets: dict[str, dict[str, float]] | None = None,
        name: str = "data",
    ) -> Path:
        folder = tmp_path / name
        splits: dict[str, dict[str, SourceManifest]] = {"train": {}, "val": {}}
        for source, texts in train.items():
            weight, budget = (weights or {}).get(source, 1.0), (budgets or {}).get(source)
            splits["train"] |= write_split(folder / "shards" / "train", {source: texts}, weight, budget)
        splits["val"] |= write_split(folder / "shards" / "val", val or {"held": [np.arange(1, 50)]}, 1.0)
        (folder / "tokenizer.json").write_bytes(b"{}")
        Manifest(hash_bytes(b"{}"), VOCAB_SIZE, EOT, "uint16", splits).save(folder)
        return folder

    return make
