"""The file of a partition's features: small arrays are read, signatures stay on disk until rows of them are asked for.

Signatures are most of the features, half a gigabyte a million documents. They are mapped: what is read of them is the
system's to keep or to drop.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import fields
from pathlib import Path

import numpy as np

from data_pipeline.dedup.dedup import Features
from data_pipeline.storage import DamagedFile, write_arrays

SIGNATURES = "signatures"
_CHUNK_BYTES = 1 << 20


class StoredRows:
    """Some rows of a matrix on disk, as documents of a partition: `len`, and rows of them by slice or positions."""

    def __init__(self, stored: np.ndarray, chosen: np.ndarray) -> None:
        self._stored, self._chosen = stored, chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, rows: slice | np.ndarray, /) -> np.ndarray:
        return np.array(self._stored[self._chosen[rows]])


def features_path(folder: Path, partition: str) -> Path:
    """Return the file of a partition's features."""
    return folder / f"{partition}.npz"


def write_features(path: Path, features: Features) -> None:
    """Write the features of a partition's documents."""
    write_arrays(path, {field.name: getattr(features, field.name) for field in fields(features)})


def read_features(folder: Path, partition: str, mask: np.ndarray | None = None) -> Features:
    """Return the features of a partition's documents, their signatures as `StoredRows`.

    Args:
        mask: (documents,) bool: which of them; None for all.
    Raises:
        DamagedFile: the file is cut short or a bit of it flipped.
    """
    path = features_path(folder, partition)
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                with archive.open(name) as member:
                    while member.read(_CHUNK_BYTES):  # its end compares the CRC
                        pass
            with np.load(path, allow_pickle=False) as arrays:
                small = {name: arrays[name] for name in arrays.files if name != SIGNATURES}
            stored = _mapped(path, archive.getinfo(f"{SIGNATURES}.npy"))
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError) as error:
        raise DamagedFile(f"{path}: it is not what was written ({error}); remove its folder and run again") from error
    chosen = np.arange(len(stored)) if mask is None else np.flatnonzero(mask)
    return Features(**{name: array[chosen] for name, array in small.items()}, signatures=StoredRows(stored, chosen))


def map_arrays(path: Path, names: list[str]) -> list[np.ndarray]:
    """Return arrays of an .npz file without reading them."""
    with zipfile.ZipFile(path) as archive:
        return [_mapped(path, archive.getinfo(f"{name}.npy")) for name in names]


def _mapped(path: Path, member: zipfile.ZipInfo) -> np.ndarray:
    """Return an array that lies in an archive as it is, without reading it."""
    with path.open("rb") as file:
        file.seek(member.header_offset + 26)  # the last 4 bytes of the local header: how long are the two fields behind
        name_bytes, extra_bytes = np.frombuffer(file.read(4), "<u2").tolist()
        file.seek(name_bytes + extra_bytes, 1)
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        if not np.prod(shape):
            return np.zeros(shape, dtype)
        return np.memmap(file, dtype, "r", file.tell(), shape)
