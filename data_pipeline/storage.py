"""The formats of the pipeline's own files: partitions of documents, arrays, what was removed, what was unreadable.

Every file is written beside its place, flushed and renamed: no reader ever sees half a file.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import mmap
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from data_pipeline.documents import Quarantined
from foundation.errors import GroundworkError
from foundation.files import replacing
from foundation.hashes import hash_bytes

REMOVED_SCHEMA = pa.schema(
    [
        pa.field("id", pa.large_string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("file", pa.string(), nullable=False),  # its name, as in the input
        pa.field("row", pa.int64(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("rule", pa.string()),  # of cleaning, that took the last word of the text
        pa.field("value", pa.float64()),
        pa.field("threshold", pa.float64()),
        pa.field("kept_id", pa.large_string()),
        pa.field("kept_file", pa.string()),  # where it is: ids need not be unique
        pa.field("kept_row", pa.int64()),
        pa.field("similarity", pa.float64()),
        pa.field("cluster", pa.int64()),  # near-duplicates that bands connect, alike or not, have the same number
        pa.field("test_item", pa.large_string()),
        pa.field("coverage", pa.float64()),
        pa.field("start", pa.int64()),  # UTF-8 bytes of the text: of a span that was cut out of a document that stays
        pa.field("stop", pa.int64()),
        pa.field("snippet", pa.large_string(), nullable=False),
        pa.field("kept_snippet", pa.large_string()),
        pa.field("test_snippet", pa.large_string()),  # of the test item
        pa.field("text", pa.large_string()),  # the whole of it, where no other document like it is left
    ]
)
FULL = (errno.ENOSPC, errno.EDQUOT)
_ZEROS_BYTES = 1 << 24


class DiskFull(GroundworkError):
    """There is no room for a file; what was there before is untouched."""


class DamagedFile(GroundworkError):
    """A file of the pipeline itself is not what was written."""


@contextlib.contextmanager
def room_for(path: Path, num_bytes: int | None = None) -> Iterator[None]:
    """Turn the system's bare "no space left" into a message with the bytes needed and free.

    Args:
        path: what is being written.
        num_bytes: its size, where it is known.
    Raises:
        DiskFull: the disk or the quota is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        needed = "" if num_bytes is None else f"{num_bytes:,} bytes needed, "
        free = shutil.disk_usage(_existing(path)).free
        raise DiskFull(
            f"{path}: the disk is full: {needed}{free:,} bytes free; nothing that was finished is lost: "
            "make room, or name a folder on another disk, and run the same command again"
        ) from error


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def write_file(path: Path, data: bytes | memoryview) -> None:
    """Write a whole file: complete or absent.

    Raises:
        DiskFull: says how many bytes were needed.
    """
    with room_for(path, len(data)), replacing(path) as temporary:
        temporary.write_bytes(data)


def write_batch(path: Path, batch: pa.RecordBatch, compression: str | None = "lz4") -> str:
    """Write one batch of documents as an Arrow IPC file.

    Args:
        batch: documents.SCHEMA, or columns beside it.
        compression: None for a file whose rows are read from where they lie.
    Returns:
        The hash of the file's bytes, for `read_batch`.
    """
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression, use_threads=False)
    with pa.ipc.new_file(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    data = memoryview(sink.getvalue())
    write_file(path, data)
    return hash_bytes(data)


def read_batch(path: Path, expected_hash: str, *columns: str) -> pa.RecordBatch:
    """Read what `write_batch` wrote, after verifying every byte of it.

    Args:
        columns: those to decompress, the only ones of the batch then; none for all.
    Raises:
        DamagedFile: the bytes are others than were written.
    """
    data = path.read_bytes()
    if hash_bytes(data) != expected_hash:
        raise DamagedFile(f"{path}: its bytes are not those that were written; remove its folder and run again")
    buffer = pa.py_buffer(data)
    options = pa.ipc.IpcReadOptions()
    if columns:
        with pa.ipc.open_file(buffer) as reader:
            options.included_fields = [reader.schema.get_field_index(column) for column in columns]
    with pa.ipc.open_file(buffer, options=options) as reader:
        return reader.get_batch(0)


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write named arrays as an .npz file: complete or absent. Its CRCs are checked when it is read."""
    num_bytes = sum(array.nbytes for array in arrays.values())
    with room_for(path, num_bytes), replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # its other parameters are keywords too


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read what `write_arrays` wrote.

    Raises:
        DamagedFile: the file is cut short or a bit of it flipped.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
        raise DamagedFile(f"{path}: it is not what was written ({error}); remove its folder and run again") from error


def scratch_array(folder: Path, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return an array that lies on disk and is gone with the process: its file has no name any more.

    The system keeps what is used of it in memory as long as there is room.

    Args:
        folder: on the disk.
    Raises:
        DiskFull: says how many bytes were needed.
    """
    num_bytes = max(int(np.prod(shape)) * np.dtype(dtype).itemsize, 1)  # an empty file can't be mapped
    folder.mkdir(parents=True, exist_ok=True)
    with room_for(folder, num_bytes), tempfile.TemporaryFile(dir=folder) as file:
        for start in range(0, num_bytes, _ZEROS_BYTES):  # a file of holes would end the process where the disk is full
            file.write(bytes(min(_ZEROS_BYTES, num_bytes - start)))
        file.flush()
        return np.ndarray(shape, dtype, mmap.mmap(file.fileno(), num_bytes))


def write_removed(path: Path, rows: list[dict[str, Any]]) -> list[Path]:
    """Write what a stage removed from one partition; no file when it removed nothing.

    Args:
        rows: dicts with the names of REMOVED_SCHEMA; those that don't apply may be missing.
    Returns:
        The files written: none or one.
    """
    if not rows:
        path.unlink(missing_ok=True)
        return []
    write_table(path, pa.Table.from_pylist(rows, schema=REMOVED_SCHEMA))
    return [path]


def write_table(path: Path, table: pa.Table) -> None:
    """Write a table of the output as parquet."""
    sink = pa.BufferOutputStream()
    # page checksums: parquet has them off by default, and a flipped bit then reads as other data
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    write_file(path, memoryview(sink.getvalue()))


def read_removed(path: Path, columns: list[str]) -> pa.Table:
    """Read columns of what `write_removed` wrote, the checksum of every page verified.

    Raises:
        DamagedFile: the file is cut short or a bit of it flipped.
    """
    data = pa.py_buffer(path.read_bytes())  # what the system has to say of the file is said here
    try:
        return pq.read_table(pa.BufferReader(data), columns=columns, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise DamagedFile(f"{path}: it is not what was written ({error}); remove it and run again") from error


def write_quarantine(path: Path, source: str, records: Iterable[tuple[str, Quarantined]]) -> list[Path]:
    """Write the unreadable records of one partition, a JSON line each; no file when there are none.

    `row` counts from 0, `line` from 1; it is null where a record is no line. `bytes` is the record itself in base64;
    `text` is the same for the eye, with what is no UTF-8 as `\\xff`.

    Args:
        source: of the records.
        records: (file name, record).
    Returns:
        The files written: none or one.
    """
    lines = [
        orjson.dumps(
            {
                "source": source,
                "file": file,
                "row": record.row,
                "line": record.line,
                "offset_bytes": record.offset_bytes,
                "reason": record.reason,
                "text": record.data.decode(errors="backslashreplace"),
                "bytes": base64.b64encode(record.data).decode(),
            },
            option=orjson.OPT_APPEND_NEWLINE,
        )
        for file, record in records
    ]
    if not lines:
        path.unlink(missing_ok=True)
        return []
    write_file(path, b"".join(lines))
    return [path]
