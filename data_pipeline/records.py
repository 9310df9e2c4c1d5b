"""Records of finished work: what makes a run go on where it was stopped.

A part of a stage (usually: its work on one partition) is finished when its record stands, and the record is written
last. So a kill at any moment costs at most the parts that were being worked on.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_pipeline.storage import DamagedFile, room_for
from foundation.errors import InputError
from foundation.files import read_json, write_json
from foundation.hashes import hash_json

HASH = "hash"  # of all else in a record


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
    Its facts are what manifest, ledger and page are written from: it holds a hash of them, and a damaged one is none.

    Args:
        folder: of the records.
        root: the output folder; the files of parts lie below it.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder, self.root = folder, root

    def find(self, name: str, key: str) -> dict[str, Any] | None:
        """Return the facts of a part that is finished and still valid, else None; of a damaged record it says so."""
        try:
            record = self._read(name)
        except DamagedFile as error:
            print(f"{error}; its part is done again", file=sys.stderr)
            return None
        if record is None or record["key"] != key:
            return None
        if any(_size_of(self.root / file) != size for file, size in record["files"].items()):
            return None
        facts: dict[str, Any] = record["facts"]
        return facts

    def knows(self, name: str, key: str) -> bool:
        """Return whether a part was finished with this key, be its files still there or not, or its record damaged."""
        try:
            record = self._read(name)
        except DamagedFile:
            return True
        return record is not None and record["key"] == key

    def commit(self, name: str, key: str, part: Part) -> None:
        """Declare a part finished; its files must be on disk."""
        files = {str(path.relative_to(self.root)): path.stat().st_size for path in part.files}
        record = {"key": key, "files": files, "facts": part.facts}
        with room_for(self._path(name)):
            write_json(self._path(name), {HASH: hash_json(record), **record})

    def forget(self, name: str) -> None:
        """Declare a part unfinished. Before its files change: their old record must not vouch for new ones."""
        self._path(name).unlink(missing_ok=True)

    def files(self, name: str) -> list[Path]:
        """Return the files of a finished part, its record among them.

        Raises:
            DamagedFile: its record is no longer what was written.
        """
        return [self._path(name), *(self.root / file for file in self._finished(name)["files"])]

    def facts(self, name: str) -> dict[str, Any]:
        """Return the facts of a finished part.

        Raises:
            DamagedFile: its record is no longer what was written.
        """
        facts: dict[str, Any] = self._finished(name)["facts"]
        return facts

    def _finished(self, name: str) -> dict[str, Any]:
        record = self._read(name)
        assert record is not None, name
        return record

    def _read(self, name: str) -> dict[str, Any] | None:
        """Return a record; None where there is none, or one without a hash, as earlier versions wrote them."""
        path = self._path(name)
        try:
            record = read_json(path) if path.is_file() else None
        except InputError as error:
            raise DamagedFile(f"{path}: it is not what was written ({error.__cause__})") from error
        if not isinstance(record, dict) or HASH not in record:
            return None
        stated = record.pop(HASH)
        if stated != hash_json(record):
            raise DamagedFile(f"{path}: it is not what was written (its content has another hash than it states)")
        return record

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
