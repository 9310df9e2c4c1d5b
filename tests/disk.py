"""A disk that loses power: what would be found again, by what was flushed with fsync and nothing else."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path


class Disk:
    """Remembers in a folder of its own what was flushed: also one process after the other may ask for it.

    Args:
        store: that folder; made where it is missing.
    Attributes:
        then: called with the path after each flush: the moments at which the power may go.
    """

    def __init__(self, store: Path) -> None:
        self.then: Callable[[Path], None] = lambda path: None
        self._store = store
        self._store.mkdir(parents=True, exist_ok=True)
        self._held: list[int] = []

    def fsync(self, descriptor: int) -> None:
        """Remember what the file or folder holds; in the place of os.fsync, or after it."""
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        self._held.append(os.dup(descriptor))  # as long as it is open, its inode is no other file's
        remembered = self._store / str(os.fstat(descriptor).st_ino)
        data = json.dumps(inodes(path)).encode() if path.is_dir() else path.read_bytes()
        new = remembered.with_suffix(f".{os.getpid()}.{threading.get_ident()}")
        new.write_bytes(data)
        new.replace(remembered)  # threads flush too, and one may look meanwhile
        self.then(path)

    def settle(self, folder: Path) -> None:
        """Take all that is in `folder` for flushed: what was there before anybody watched."""
        for path in (folder, *folder.rglob("*")):
            descriptor = os.open(path, os.O_RDONLY)
            self.fsync(descriptor)
            os.close(descriptor)

    def after_power_loss(self, folder: Path, found: Path, names_kept: bool = False) -> Path:
        """Make `found` what is left of `folder`, and return it.

        Args:
            names_kept: a disk that was quicker with names (a rename) than with bytes; else names too are those flushed.
        """
        found.mkdir(parents=True)
        flushed = self._store / str(folder.stat().st_ino)
        present = inodes(folder)
        places = {inode: folder / name for name, inode in present.items()}
        names = present if names_kept else json.loads(flushed.read_text()) if flushed.exists() else {}
        for name, inode in names.items():
            if inode in places and places[inode].is_dir():
                self.after_power_loss(places[inode], found / name, names_kept)
            else:
                remembered = self._store / str(inode)
                (found / name).write_bytes(remembered.read_bytes() if remembered.exists() else b"")
        return found

    def close(self) -> None:
        for descriptor in self._held:
            os.close(descriptor)


def inodes(folder: Path) -> dict[str, int]:
    return {entry.name: entry.inode() for entry in os.scandir(folder)}
