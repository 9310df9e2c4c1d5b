"""The files of what was measured of a partition: it stays on disk until it is used.

Features are half a gigabyte a million documents, most of it signatures; shingle sets are larger than the text. They
are mapped: what is read of them is the system's to keep or to drop. Mapped anew each time: a mapping holds a file open,
and a process may have only so many.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.dedup.dedup import Features
from data_pipeline.dedup.sets import Sets
from data_pipeline.storage import DamagedFile, write_arrays

FEATURES = tuple(field.name for field in fields(Features))
HASHES = "hashes"  # the large array of sets
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class StoredArray:
    """An array that lies in a file as it is. Attributes: offset: of its first byte."""

    path: Path
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def open(self) -> np.ndarray:
        """Return the array, mapped."""
        if not np.prod(self.shape):
            return np.zeros(self.shape, self.dtype)
        return np.memmap(self.path, self.dtype, "r", self.offset, self.shape).view(np.ndarray)


class StoredRows:
    """Some rows of an array on disk, as documents of a partition: `len`, and rows of them by slice or positions.

    Args:
        chosen: (documents,) of any integers, which rows; None for all.
    """

    def __init__(self, stored: StoredArray, chosen: np.ndarray | None) -> None:
        self._stored, self._chosen = stored, chosen

    def __len__(self) -> int:
        return self._stored.shape[0] if self._chosen is None else len(self._chosen)

    def __getitem__(self, rows: slice | np.ndarray, /) -> np.ndarray:
        return np.array(self._stored.open()[rows if self._chosen is None else self._chosen[rows]])


@dataclass(frozen=True, slots=True)
class StoredSets:
    """Shingle sets on disk; see dedup.sets.Sets."""

    stored: StoredArray
    starts: np.ndarray

    @property
    def hashes(self) -> np.ndarray:
        """The sets end to end, mapped."""
        return self.stored.open()


def features_path(folder: Path, partition: str) -> Path:
    """Return the file of a partition's features."""
    return folder / f"{partition}.npz"


def write_features(path: Path, features: Features) -> None:
    """Write the features of a partition's documents."""
    write_arrays(path, {name: getattr(features, name) for name in FEATURES})


def read_features(folder: Path, partition: str, mask: np.ndarray | None = None) -> Features:
    """Return the features of a partition's documents as `StoredRows`.

    Args:
        mask: (documents,) bool: which of them, 4 bytes each are held; None for all.
    Raises:
        DamagedFile: the file is cut short or a bit of it flipped.
    """
    _, stored = read_stored(features_path(folder, partition), FEATURES)
    chosen = None if mask is None or mask.all() else np.flatnonzero(mask).astype(np.uint32)
    return Features(*(StoredRows(array, chosen) for array in stored))


def write_sets(path: Path, sets: Sets) -> None:
    """Write the shingle sets of documents."""
    write_arrays(path, sets._asdict())


def read_sets(path: Path) -> StoredSets:
    """Return what `write_sets` wrote.

    Raises:
        DamagedFile: the file is cut short or a bit of it flipped.
    """
    small, (stored,) = read_stored(path, (HASHES,))
    return StoredSets(stored, **small)


def read_stored(path: Path, large: tuple[str, ...]) -> tuple[dict[str, np.ndarray], list[StoredArray]]:
    """Return the arrays of a file that `write_arrays` wrote, the large ones where they lie.

    Raises:
        DamagedFile: the file is cut short or a bit of it flipped.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                with archive.open(name) as member:
                    while member.read(_CHUNK_BYTES):  # its end compares the CRC
                        pass
            with np.load(path, allow_pickle=False) as arrays:
                small = {name: arrays[name] for name in arrays.files if name not in large}
            return small, [_find(path, archive.getinfo(f"{name}.npy")) for name in large]
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError) as error:
        raise DamagedFile(f"{path}: it is not what was written ({error}); remove its folder and run again") from error


def _find(path: Path, member: zipfile.ZipInfo) -> StoredArray:
    """Return where an array lies in an archive."""
    with path.open("rb") as file:
        file.seek(member.header_offset + 26)  # the last 4 bytes of the local header: how long are the two fields behind
        name_bytes, extra_bytes = np.frombuffer(file.read(4), "<u2").tolist()
        file.seek(name_bytes + extra_bytes, 1)
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        return StoredArray(path, file.tell(), shape, dtype)
