"""What tests of several rooms of pretrain need: a disk that loses power."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.disk import Disk
from tests.lines import loop_alone


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc to tell a descriptor's path")
    disk = Disk(tmp_path_factory.mktemp("flushed"))
    monkeypatch.setattr(os, "fsync", disk.fsync)
    yield disk
    disk.close()


@pytest.fixture(scope="session")
def worker(load_module: Callable[[Path], ModuleType]) -> ModuleType:
    """train_worker.py, which also runs as several ranks."""
    return load_module(Path(__file__).with_name("train_worker.py"))


@pytest.fixture
def overrides(tiny: list[str], tmp_path: Path) -> list[str]:
    """A run of the loop alone: nothing is logged, evaluated or saved."""
    return loop_alone(tiny, tmp_path)
