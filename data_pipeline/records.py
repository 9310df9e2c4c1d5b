"""Records of finished work: what makes a run go on where it was stopped.

A part of a stage (usually: its work on one partition) is finished when its record stands, and the record is written
last. So a kill at any moment costs at most the parts that were being worked on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_pipeline.storage import room_for
from foundation.files import read_json, write_json


@dataclass(frozen=True, slots=True)
class Part:
    """One finished piece of a stage.

    Attributes:
        facts: JSON values.
        files: what it wrote, all but its record.
    """

    facts: dict[str, Any]
    files: list[Path]


class Records:
    """The records of the finished parts of one stage: `<folder>/<name>.json`.

    A record counts while its key (the hash of all that the part depends on) is the one asked for and its files stand.

    Args:
        folder: of the records.
        root: the output folder; the files of parts lie below it.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder, self.root = folder, root

    def find(self, name: str, key: str) -> dict[str, Any] | None:
        """Return the facts of a part that is finished and still valid, else None."""
        record = self._read(name, key)
        if record is None or any(_size_of(self.root / file) != size for file, size in record["files"].items()):
            return None
        facts: dict[str, Any] = record["facts"]
        return facts

    def knows(self, name: str, key: str) -> bool:
        """Return whether a part was finished with this key, be its files still there or not."""
        return self._read(name, key) is not None

    def commit(self, name: str, key: str, part: Part) -> None:
        """Declare a part finished; its files must be on disk."""
        files = {str(path.relative_to(self.root)): path.stat().st_size for path in part.files}
        with room_for(self._path(name)):
            write_json(self._path(name), {"key": key, "files": files, "facts": part.facts})

    def forget(self, name: str) -> None:
        """Declare a part unfinished. Before its files change: their old record must not vouch for new ones."""
        self._path(name).unlink(missing_ok=True)

    def files(self, name: str) -> list[Path]:
        """Return the files of a finished part, its record among them."""
        path = self._path(name)
        return [path, *(self.root / file for file in read_json(path)["files"])]

    def _read(self, name: str, key: str) -> dict[str, Any] | None:
        path = self._path(name)
        record = read_json(path) if path.is_file() else None
        return record if isinstance(record, dict) and record.get("key") == key else None

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"


def _size_of(path: Path) -> int:
    """Return the size of a file in bytes, -1 when there is none."""
    return path.stat().st_size if path.is_file() else -1


def keep_only(folder: Path, kept: Iterable[Path]) -> None:
    """Remove every file below a folder that is not in `kept`, then the folders that are empty."""
    keep = set(kept)
    for path in sorted(folder.rglob("*"), reverse=True):  # children before their folder
        if path.is_dir():
            with contextlib.suppress(OSError):  # not empty
                path.rmdir()
        elif path not in keep:
            path.unlink()
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
