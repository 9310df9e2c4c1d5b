"""The messages of Arrow's IPC formats, one after the other, their bodies neither unpacked nor decoded.

Source: Apache Arrow, "Arrow Columnar Format", sections "Encapsulated message format", "IPC Streaming Format" and "IPC
File Format"; format/Message.fbs; FlatBuffers, "FlatBuffer Internals".
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import pyarrow as pa

FILE_MAGIC = b"ARROW1"
CONTINUES = b"\xff\xff\xff\xff"
END_OF_STREAM = CONTINUES + bytes(4)
SCHEMA, DICTIONARY, BATCH = 1, 2, 3
ROW_BYTES = 16  # what a row counts for beside its buffers: a column of nulls has none


class MessageError(Exception):
    """The bytes are no Arrow messages, or not all of them; says how."""


class TooLarge(Exception):
    """A message is larger than may be read. Attributes: num_bytes: its body's, unpacked."""

    def __init__(self, num_bytes: int) -> None:
        super().__init__(num_bytes)
        self.num_bytes = num_bytes


class Message(NamedTuple):
    """A message.

    Attributes:
        kind: SCHEMA, DICTIONARY or BATCH.
        data: all its bytes as they lie in the file.
        offset: of the file where it begins.
        stop: where it ends.
        num_rows: of a batch, or values of a dictionary.
        unpacked_bytes: of its body, with what rows count for by their number alone.
        dictionary: the number of the dictionary that it is or adds to.
        is_delta: whether it adds to one.
    """

    kind: int
    data: bytes
    offset: int
    stop: int
    num_rows: int = 0
    unpacked_bytes: int = 0
    dictionary: int = 0
    is_delta: bool = False


def read_messages(stream: BinaryIO, most_bytes: int) -> Iterator[Message]:
    """Yield the messages of a file in either format.

    Args:
        most_bytes: of a body, unpacked.
    Raises:
        MessageError: it is none, is damaged, or ends before its format says so.
        TooLarge: a body is larger than allowed.
    """
    size_bytes = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    head = stream.read(8)
    is_file = head.startswith(FILE_MAGIC)
    if not is_file and not head.startswith(CONTINUES):
        raise MessageError(
            f"begins with {head!r}: it is neither an Arrow file nor an Arrow stream (compressed as a whole, or written "
            "before Arrow 0.15?)"
        )
    stream.seek(8 if is_file else 0)
    batches = 0
    try:
        while message := _next(stream, size_bytes, most_bytes):
            batches += message.kind == BATCH
            yield message
            stream.seek(message.stop)  # whoever has it may have moved
    except (struct.error, IndexError) as error:
        raise MessageError(f"is damaged before byte {stream.tell():,} ({error})") from error
    if is_file:
        _check_footer(stream, batches)
    elif rest := stream.read(8):
        raise MessageError(f"ends at byte {stream.tell() - len(rest):,} and {rest!r} follows")


def _next(stream: BinaryIO, size_bytes: int, most_bytes: int) -> Message | None:
    """Return the next message, None at the mark that ends all."""
    offset = stream.tell()
    head = stream.read(8)
    if len(head) < 8:
        raise MessageError(f"ends after byte {size_bytes:,}, before the mark that ends a stream: it was cut")
    if head == END_OF_STREAM:
        return None
    if not head.startswith(CONTINUES):
        raise MessageError(f"is damaged at byte {offset:,}, where a message should begin and {head!r} is")
    size = struct.unpack_from("<i", head, 4)[0]
    if not 0 < size <= size_bytes - offset:
        raise MessageError(
            f"is damaged or cut: the message at byte {offset:,} should have {size:,} bytes before its body"
        )
    metadata = stream.read(size)
    root = _Table(metadata, struct.unpack_from("<I", metadata)[0])
    kind, body_size = root.number(1, "<B"), root.number(3, "<q")
    start = offset + 8 + size
    if not 0 <= body_size <= size_bytes - start:
        raise MessageError(
            f"is damaged or cut: the message at byte {offset:,} ends after the file's {size_bytes:,} bytes"
        )
    if body_size > most_bytes:
        raise TooLarge(body_size)
    body = stream.read(body_size)
    message = Message(kind, head + metadata + body, offset, start + body_size)
    if kind == SCHEMA:
        return message
    if kind not in (DICTIONARY, BATCH):
        raise MessageError(f"has a message of the unknown kind {kind} at byte {offset:,}")
    return _with_sizes(message, root.table(2), body, most_bytes)


def _with_sizes(message: Message, header: _Table, body: bytes, most_bytes: int) -> Message:
    batch = header.table(1) if message.kind == DICTIONARY else header
    num_rows = batch.number(0, "<q")
    if num_rows < 0:
        raise MessageError(f"is damaged: the message at byte {message.offset:,} has {num_rows:,} rows")
    unpacked_bytes = num_rows * ROW_BYTES + (_unpacked_bytes(batch, body) if batch.has(3) else len(body))
    if unpacked_bytes > most_bytes:
        raise TooLarge(unpacked_bytes)
    message = message._replace(num_rows=num_rows, unpacked_bytes=unpacked_bytes)
    if message.kind == BATCH:
        return message
    return message._replace(dictionary=header.number(0, "<q"), is_delta=bool(header.number(2, "<B")))


def _unpacked_bytes(batch: _Table, body: bytes) -> int:
    """Return what a compressed body unpacks to: each buffer that isn't empty begins with its size, or -1 as it is."""
    total = 0
    for start, size in batch.pairs(2):
        if size:
            told = struct.unpack_from("<q", body, start)[0]
            total += size if told < 0 else told
    return total


def _check_footer(stream: BinaryIO, batches: int) -> None:
    try:
        stream.seek(0)
        told = pa.ipc.open_file(pa.PythonFile(stream, mode="r")).num_record_batches
    except (pa.ArrowException, OSError) as error:
        raise MessageError(f"has a bad footer, or none: it was cut ({error})") from error
    if told != batches:
        raise MessageError(f"holds {batches:,} record batches where its footer says {told:,}")


class _Table:
    """A table of a FlatBuffer: where its fields are, by their number."""

    def __init__(self, data: bytes, place: int) -> None:
        self._data, self._place = data, place
        self._slots = place - struct.unpack_from("<i", data, place)[0]
        if self._slots < 0:
            raise struct.error("a table of its metadata lies outside")
        self._size = struct.unpack_from("<H", data, self._slots)[0]

    def has(self, number: int) -> bool:
        return self._field(number) > 0

    def number(self, number: int, form: str) -> int:
        """Return a field that is an integer; where it isn't written, it is 0."""
        place = self._field(number)
        return int(struct.unpack_from(form, self._data, place)[0]) if place else 0

    def table(self, number: int) -> _Table:
        """Return a field that is a table."""
        return _Table(self._data, self._target(number))

    def pairs(self, number: int) -> Iterator[tuple[int, int]]:
        """Yield the pairs of int64 of a field that is a list of such structs."""
        place = self._target(number)
        size = struct.unpack_from("<I", self._data, place)[0]
        for each in range(size):
            start, length = struct.unpack_from("<qq", self._data, place + 4 + 16 * each)
            if start < 0 or length < 0:
                raise struct.error("a buffer of its metadata lies outside")
            yield start, length

    def _target(self, number: int) -> int:
        place = self._field(number)
        if not place:
            raise struct.error(f"field {number} of its metadata is missing")
        return place + int(struct.unpack_from("<I", self._data, place)[0])

    def _field(self, number: int) -> int:
        slot = 4 + 2 * number
        if slot + 2 > self._size:
            return 0
        offset = int(struct.unpack_from("<H", self._data, self._slots + slot)[0])
        return self._place + offset if offset else 0
