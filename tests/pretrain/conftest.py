"""What tests of several rooms of pretrain need: a disk that loses power."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest


class Disk:
    """What a machine that loses power would find again, by what was flushed with fsync and nothing else.

    Attributes:
        then: called with the path after each flush: the moments at which the power may go.
    """

    def __init__(self) -> None:
        self.then: Callable[[Path], None] = lambda path: None
        self._bytes: dict[int, bytes] = {}
        self._names: dict[int, dict[str, int]] = {}
        self._held: list[int] = []

    def fsync(self, descriptor: int) -> None:
        """Remember what the file or folder holds; in the place of os.fsync."""
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        self._held.append(os.dup(descriptor))  # as long as it is open, its inode is no other file's
        inode = os.fstat(descriptor).st_ino
        if path.is_dir():
            self._names[inode] = inodes(path)
        else:
            self._bytes[inode] = path.read_bytes()
        self.then(path)

    def after_power_loss(self, folder: Path, found: Path, names_kept: bool = False) -> Path:
        """Make `found` what is left of `folder`, and return it.

        Args:
            names_kept: a disk that was quicker with names (a rename) than with bytes; else names too are those flushed.
        """
        found.mkdir(parents=True)
        flushed = self._names.get(folder.stat().st_ino, {})
        present = inodes(folder)
        places = {inode: folder / name for name, inode in present.items()}
        for name, inode in (present if names_kept else flushed).items():
            if inode in places and places[inode].is_dir():
                self.after_power_loss(places[inode], found / name, names_kept)
            else:
                (found / name).write_bytes(self._bytes.get(inode, b""))
        return found

    def close(self) -> None:
        for descriptor in self._held:
            os.close(descriptor)


def inodes(folder: Path) -> dict[str, int]:
    return {entry.name: entry.inode() for entry in os.scandir(folder)}


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc to tell a descriptor's path")
    disk = Disk()
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
    quiet = ["logger=none", "eval=none", "checkpoint=none", "data.mask_after_eot=true", "trainer.max_steps=8"]
    changed = {text.partition("=")[0] for text in quiet}
    kept = [text for text in tiny if text.partition("=")[0] not in changed and not text.startswith("eval.")]
    return [*kept, *quiet, f"runs_dir={tmp_path}", "run_name=run"]
