"""Real text, its own tokenizer and shards, and a model small enough to be computed by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from pretrain.data.dataset import Dataset, open_data
from pretrain.tokenizer import Tokenizer


@pytest.fixture(scope="session")
def worker(load_module: Callable[[Path], ModuleType]) -> ModuleType:
    """The file that ranks run, as a module: both make the same data and models."""
    return load_module(Path(__file__).with_name("score_worker.py"))


@pytest.fixture(scope="session")
def data_dir(worker: ModuleType, tmp_path_factory: pytest.TempPathFactory, write_data: Callable[..., None]) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_data(folder, worker.TRAIN, worker.VAL, vocab_size=400, max_shard_bytes=400)
    return folder


@pytest.fixture(scope="session")
def dataset(data_dir: Path) -> Dataset:
    return open_data(data_dir)


@pytest.fixture(scope="session")
def tokenizer(dataset: Dataset) -> Tokenizer:
    return Tokenizer.load(dataset.path, dataset.manifest)
