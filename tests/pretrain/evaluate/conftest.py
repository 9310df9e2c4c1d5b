"""Real text, its own tokenizer and shards, and a model small enough to be computed by hand."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from pretrain.data.dataset import Dataset, open_data
from pretrain.tokenizer import Tokenizer


@pytest.fixture(scope="session")
def worker() -> ModuleType:
    """The file that torchrun runs, as a module: both make the same data and models."""
    spec = importlib.util.spec_from_file_location("score_worker", Path(__file__).with_name("score_worker.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def data_dir(worker: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("data")
    worker.write_data(folder)
    return folder


@pytest.fixture(scope="session")
def dataset(data_dir: Path) -> Dataset:
    return open_data(data_dir)


@pytest.fixture(scope="session")
def tokenizer(dataset: Dataset) -> Tokenizer:
    return Tokenizer.load(dataset.path, dataset.manifest)
