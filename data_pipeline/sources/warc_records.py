"""Where the records of a WARC file begin and end: the file is cut between them, a broken one ends at the next.

A record's own Content-Length is believed only where another record, or the end of the file, follows it. So a wrong
length costs its own record, never those behind it, and the search goes on at the next line that begins a record.

Source: ISO 28500:2017, "WARC file format", 4 (records) and annex A.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from data_pipeline.sources.decompress import Piece
from data_pipeline.sources.source import Block, InputFile, TruncatedInput
from foundation.errors import InputError

MAX_HEADER_BYTES = 64 << 10  # of a record; an address may take some thousand
MAGIC = b"WARC/"
# two CRLF end a record; some writers give one, or LF alone
MOST_NEWLINES = 8
FOLLOWS_BYTES = MOST_NEWLINES + len(MAGIC)
SEARCH_BYTES = 1 << 20

_VERSION = re.compile(rb"WARC/[0-9]+\.[0-9]+[ \t]*\r?\n")
_BEGIN = re.compile(rb"\n(?=WARC/[0-9]+\.[0-9]+[ \t]*\r?\n[!-9;-~]+:)")
_HEADER_END = re.compile(rb"\r?\n\r?\n")
_LENGTH = re.compile(rb"\ncontent-length[ \t]*:[ \t]*([0-9]{1,18})[ \t]*\r?\n", re.IGNORECASE)

# what a record is
WHOLE, BROKEN, LONG, CUT = "whole", "broken", "long", "cut"


class Place(NamedTuple):
    """Where a record lies, as offsets into the bytes it was looked for in.

    Attributes:
        kind: WHOLE; BROKEN: up to the next record; LONG: longer than is read; CUT: it goes on behind the last byte.
        content, end: of its content, where it is known.
        stop: where the next record begins.
    """

    kind: str
    content: int
    end: int
    stop: int


class More(NamedTuple):
    """There must be more bytes to tell, `size` of them."""

    size: int


def record_at(data: bytes | bytearray, start: int, ended: bool, max_record_bytes: int) -> Place | More:
    """Return the record that begins at a place.

    Args:
        ended: whether `data` is all there is.
        max_record_bytes: a longer one is LONG, and of a broken one no more is searched for the next.
    """
    header_end = _HEADER_END.search(data, start, start + MAX_HEADER_BYTES)
    if header_end is None and not ended and len(data) < start + MAX_HEADER_BYTES:
        return More(start + min(MAX_HEADER_BYTES, max(4096, 2 * (len(data) - start))))
    length = header_end and _VERSION.match(data, start) and _LENGTH.search(data, start, header_end.end())
    if header_end is None or not length or _BEGIN.search(data, start, header_end.end()):
        is_cut = header_end is None and len(data) < start + MAX_HEADER_BYTES
        return _broken(data, start, ended, max_record_bytes, is_cut)
    content = header_end.end()
    end = content + int(length[1])
    if end - start > max_record_bytes:
        return Place(LONG, content, end, end)
    if not ended and len(data) < end + FOLLOWS_BYTES:
        return More(end + FOLLOWS_BYTES)
    stop = pass_newlines(data, end)
    follows = bytes(data[stop : stop + len(MAGIC)])
    if end <= len(data) and (follows == MAGIC or (ended and MAGIC.startswith(follows))):  # also nothing
        return Place(WHOLE, content, end, stop)
    return _broken(data, start, ended, max_record_bytes, end > len(data))


def pass_newlines(data: bytes | bytearray, place: int) -> int:
    """Return the place behind the newlines that end a record."""
    stop = min(len(data), place + MOST_NEWLINES)
    while place < stop and data[place] in b"\r\n":
        place += 1
    return place


def places(data: bytes, max_record_bytes: int) -> Iterator[tuple[int, Place]]:
    """Yield start and place of the records of a block, as the file was cut."""
    start = 0
    while start < len(data):
        place = record_at(data, start, True, max_record_bytes)
        assert isinstance(place, Place)
        yield start, place
        start = min(place.stop, len(data))


def cut_warc(pieces: Iterator[Piece], file: InputFile, partition_bytes: int, max_record_bytes: int) -> Iterator[Block]:
    """Yield blocks of records, each the longest run that fits in `partition_bytes`, or one longer record.

    Of a record above `max_record_bytes` only the header and the first bytes are handed on, a block of its own.

    Args:
        pieces: decompressed bytes in order.
    Raises:
        TruncatedInput: the file ends inside a record.
        InputError: it does not begin as a WARC, or where its records go on can't be told.
    """
    cutter = _Cutter(pieces, file)
    cutter.fill(len(MAGIC))
    if cutter.data and not cutter.data.startswith(MAGIC):
        raise InputError(
            f"{file.where}: begins with {bytes(cutter.data[:8])!r}, so it is no WARC, WET or WAT file; leave it out, "
            "or choose the corpus option of its format"
        )
    held = rows = 0
    while cutter.fill(held + 1):
        place = cutter.find(held, max_record_bytes)
        if held and (place.stop > partition_bytes or place.kind == LONG):
            yield cutter.take(held, rows)
            held = rows = 0
        elif place.kind == LONG:
            yield cutter.take_head(max_record_bytes, place)
        else:
            held, rows = place.stop, rows + 1
    if held:
        yield cutter.take(held, rows)


class _Cutter:
    """The bytes that are read and not yet in a block."""

    def __init__(self, pieces: Iterator[Piece], file: InputFile) -> None:
        self.data = bytearray()
        self._pieces, self._file = pieces, file
        self._ended = False
        self._row = self._offset = 0
        self._last = Piece(b"", 0)

    def fill(self, size: int) -> bool:
        """Read until `size` bytes are there or the file ends; return whether they are."""
        while len(self.data) < size and not self._ended:
            piece = next(self._pieces, None)
            if piece is None:
                self._ended = True
                break
            self.data += piece.data
            self._last = piece.place()
        return len(self.data) >= size

    def find(self, start: int, max_record_bytes: int) -> Place:
        """Return the record that begins at a place."""
        found = record_at(self.data, start, self._ended, max_record_bytes)
        while isinstance(found, More):
            self.fill(found.size)
            found = record_at(self.data, start, self._ended, max_record_bytes)
        if found.kind == CUT:
            raise self._cut_at(self._offset + start)
        if found.kind == BROKEN and found.stop - start >= max_record_bytes:
            raise InputError(
                f"{self._file.where}: the record at byte {self._offset + start} is broken, and no other begins in the "
                f"{max_record_bytes:,} bytes (corpus.max_doc_bytes) behind; fetch the file again, or leave it out"
            )
        return found

    def take(self, size: int, rows: int) -> Block:
        read_bytes, unchecked_bytes = self._last.read_bytes, self._last.unchecked_bytes
        data = bytes(memoryview(self.data)[:size])
        block = Block(self._row, self._offset, read_bytes, data, unchecked_bytes=unchecked_bytes)
        self._drop(size)
        self._row += rows
        return block

    def take_head(self, max_record_bytes: int, place: Place) -> Block:
        """Take the head of a record that is too long, and pass over the rest, which must be there."""
        first = self._offset
        self.fill(max_record_bytes)
        block = self.take(min(len(self.data), max_record_bytes), 1)
        while self._offset + len(self.data) < first + place.stop:
            self._drop(len(self.data))
            if not self.fill(1):
                raise self._cut_at(first)
        self._drop(first + place.stop - self._offset)
        self.fill(FOLLOWS_BYTES)
        self._drop(pass_newlines(self.data, 0))
        if self.data and not self.data.startswith(MAGIC):
            raise InputError(
                f"{self._file.where}: the record at byte {first} claims {place.end - place.content:,} bytes, and no "
                "other follows them: its length is wrong, and where the next begins can't be told; fetch the file "
                "again, or leave it out"
            )
        return block

    def _cut_at(self, first: int) -> InputError:
        return TruncatedInput(
            f"{self._file.where}: ends inside the record that begins at byte {first}; fetch the file again, or leave "
            "it out"
        )

    def _drop(self, size: int) -> None:
        del self.data[:size]
        self._offset += size


def _broken(data: bytes | bytearray, start: int, ended: bool, max_record_bytes: int, is_cut: bool) -> Place | More:
    """Return the region from a broken record to the next.

    Args:
        is_cut: whether the record would go on behind `data`, if nothing else is.
    """
    most = start + max_record_bytes
    begin = _BEGIN.search(data, start, most)
    if begin:
        return Place(BROKEN, start, begin.end(), begin.end())
    if not ended and len(data) < most:  # twice as many each time, so that all is searched twice at most
        return More(min(most, start + max(SEARCH_BYTES, 2 * (len(data) - start))))
    stop = min(len(data), most)
    return Place(CUT if is_cut and stop == len(data) else BROKEN, start, stop, stop)
