"""Cuts a stream of bytes into blocks of whole records. Where it cuts depends on the content and the limits alone."""

from __future__ import annotations

import re
from collections.abc import Iterator

from data_pipeline.sources.decompress import Piece, read_pieces
from data_pipeline.sources.source import Block, InputFile
from foundation.errors import InputError, require

MAX_DOC_BYTES = 64 << 20
MAX_WINDOW_BYTES = 128 << 20  # of a zstandard frame: what `zstd --long=27` needs, and its own limit without --long
EVIDENCE_BYTES = 64 << 10  # of a record that is too long to read: enough to find it again
TOO_LONG = "too_long"
BOM = b"\xef\xbb\xbf"
# how they begin -> the option that reads them. Behind the mark of parquet stands a header of Thrift, which begins with
# a control character: a text may begin with the mark alone
OTHERS = {
    rb"PAR1[\x00-\x08\x0e-\x1f]": "parquet",
    rb"ARROW1\x00\x00": "arrow",
    rb"WARC/[01]\.[0-9]+\r?\n": "warc",
}
# what begins like this -> its name, and what makes of it what can be read; nothing is taken out of archives here
PACKED = {
    rb"BZh[1-9]1AY&SY": ("bzip2", "bunzip2 FILE"),
    rb"\xfd7zXZ": ("xz", "unxz FILE"),
    rb"PK\x03\x04": ("a zip archive", "unzip FILE"),
    rb"7z\xbc\xaf": ("a 7z archive", "7z x FILE"),
}
TAR_MAGIC, TAR_PLACE = b"ustar", 257  # POSIX.1-1988, pax and GNU tar
TAR_SUM = slice(148, 156)  # of the header's bytes, octal, its own taken for blanks
HEAD_BYTES = 512  # of tar's header
NOT_IN_1252 = {0x81, 0x8D, 0x8F, 0x90, 0x9D}
UTF_16_32 = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")  # their byte order marks


def check_limits(max_doc_bytes: int, max_window_bytes: int, max_ratio: float) -> None:
    """Check the limits that file sources share.

    Raises:
        SettingError: a value that can't work.
    """
    require(
        1 <= max_doc_bytes < 2**31, "max_doc_bytes", max_doc_bytes, "1 byte to below 2^31, places in a text are 32 bits"
    )
    require(max_window_bytes >= 1024, "max_window_bytes", max_window_bytes, "1024, zstandard's smallest, or more bytes")
    require(max_ratio >= 1, "max_ratio", max_ratio, "a number from 1 on, bytes that come out of one that goes in")


def text_pieces(file: InputFile, max_window_bytes: int, max_ratio: float) -> Iterator[Piece]:
    """Yield a file's decompressed bytes, refusing what is no UTF-8 from its first bytes on. A BOM is left in place.

    Raises:
        InputError: the file is UTF-16, UTF-32, a table, WARC, an archive or packed in another way than can be read
            here, or what `read_pieces` raises.
    """
    pieces = read_pieces(file, max_window_bytes, max_ratio)
    head = b""
    for piece in pieces:
        head += piece.data
        if len(head) < HEAD_BYTES:
            continue
        _refuse_head(file, head)
        yield piece._replace(data=head)
        yield from pieces
        return
    if head:
        _refuse_head(file, head)
        yield piece._replace(data=head)


def _refuse_head(file: InputFile, head: bytes) -> None:
    _refuse_packed(file, head)  # before the next: tar fills its first name up with zeros
    _refuse_wide(file, head)
    _refuse_others(file, head)


def _refuse_packed(file: InputFile, head: bytes) -> None:
    found = [named for magic, named in PACKED.items() if re.match(magic, head)]
    if _is_tar(head):
        found = [("a tar archive", "tar -xf FILE --one-top-level")]
    for name, command in found:
        raise InputError(
            f"{file.where}: is {name} by its first bytes, which is not read here; make files of it, e.g. {command}, "
            "and give their paths"
        )


def _is_tar(head: bytes) -> bool:
    """Return whether a tar archive begins so: a text may have its magic bytes at their place, but not the sum of it."""
    if len(head) < HEAD_BYTES or not head[TAR_PLACE:].startswith(TAR_MAGIC):
        return False
    digits = re.fullmatch(rb"[ \0]*([0-7]+)[ \0]*", head[TAR_SUM])
    header = bytearray(head[:HEAD_BYTES])
    header[TAR_SUM] = b" " * 8
    signed = sum(header) - 256 * sum(byte > 127 for byte in header)  # as some old writers add them
    return digits is not None and int(digits[1], 8) in (sum(header), signed)


def _refuse_wide(file: InputFile, head: bytes) -> None:
    nuls = head[:4].count(0)  # of a character below U+0100 half are, or three of four
    if head.startswith(UTF_16_32) or len(head[:4]) <= 2 * nuls < 2 * len(head[:4]):
        raise InputError(
            f"{file.where}: begins with the bytes {head[:4]!r}, so it is UTF-16 or UTF-32, not UTF-8; "
            "convert it, e.g. iconv -f UTF-16 -t UTF-8"
        )


def _refuse_others(file: InputFile, head: bytes) -> None:
    for magic, option in OTHERS.items():
        if found := re.match(magic, head):
            raise InputError(
                f"{file.where}: begins with {found[0]!r}, so it is no text; type corpus={option}, or leave it out"
            )


def cut_records(
    pieces: Iterator[Piece], separator: bytes, partition_bytes: int, max_record_bytes: int
) -> Iterator[Block]:
    """Yield blocks of whole records, each the longest run that fits in `partition_bytes`, or one longer record.

    The records are those of `content.split(separator)`, whatever the block size: matches are found from the left. A
    block ends with its last record's separator, the file's last block perhaps without. Of a record above
    `max_record_bytes` that fits in no block only the first `max_record_bytes + 1` bytes are handed on, a block of its
    own, so memory stays flat; whoever parses a block refuses it by its length.

    Args:
        pieces: decompressed bytes in order; a BOM at the start is dropped and counted in `offset_bytes`.
        separator: what ends a record.
        partition_bytes: the most bytes of a block with more than one record.
        max_record_bytes: the most bytes of a record, its separator excluded.
    """
    cutter = _Cutter(pieces, separator)
    while cutter.fill(partition_bytes + 1):
        size, rows = cutter.whole_records(partition_bytes)
        if cutter.ended and len(cutter) <= partition_bytes:
            yield cutter.take(len(cutter), rows)
        elif rows:
            yield cutter.take(size, rows)
        else:
            yield from _one_record(cutter, max_record_bytes)


def whole_content(pieces: Iterator[Piece], max_record_bytes: int) -> Iterator[Block]:
    """Yield the whole content as one record, none for an empty one; its head where it is too long, as `cut_records`."""
    content, offset, read_bytes = bytearray(), 0, 0
    unchecked_bytes = 0
    for piece in pieces:
        unchecked_bytes = piece.unchecked_bytes
        if len(content) <= max_record_bytes + len(BOM):  # the rest is read on for its errors alone
            content += piece.data
            read_bytes = piece.read_bytes
    if content.startswith(BOM):
        offset = len(BOM)
        del content[:offset]
    if content:
        head = bytes(content[: max_record_bytes + 1])
        yield Block(0, offset, read_bytes, head, unchecked_bytes=unchecked_bytes)


def evidence(record: bytes, reason: str) -> bytes:
    """Return what quarantine keeps of a record: its bytes, of one that is too long the beginning."""
    return record[:EVIDENCE_BYTES] if reason == TOO_LONG else record


def ends_inside_a_character(data: bytes) -> bool:
    """Return whether bytes are UTF-8 but for their last character, of which a part is missing: they were cut there."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.end == len(data) and error.reason == "unexpected end of data"
    return False


def encoding_of(data: bytes) -> str:
    """Return the encoding that bytes which are no UTF-8 are likely in, by the name that iconv knows it by.

    Latin-1 has control characters where Windows-1252 has quotation marks and dashes, but for five bytes.
    """
    strange = {ord(char) - 0xDC00 for char in data.decode("utf-8", "surrogateescape") if 0xDC80 <= ord(char) <= 0xDCFF}
    has_marks = any(byte < 0xA0 for byte in strange)
    return "WINDOWS-1252" if has_marks and not strange & NOT_IN_1252 else "LATIN1"


def _one_record(cutter: _Cutter, max_record_bytes: int) -> Iterator[Block]:
    """Yield the record at the cutter's place, which is longer than a partition; its head where it is too long."""
    size = cutter.record_size(max_record_bytes + len(cutter.separator))
    if size is not None:
        yield cutter.take(size, 1)
        return
    yield cutter.take(max_record_bytes + 1, 1)
    cutter.skip_record()


class _Cutter:
    """The bytes that are read and not yet in a block, and where in the file they begin."""

    def __init__(self, pieces: Iterator[Piece], separator: bytes) -> None:
        self.separator = separator
        self.ended = False
        self._pieces = pieces
        self._buffer = bytearray()
        self._row = self._offset = 0
        self._last = Piece(b"", 0)
        self.fill(len(BOM))
        if self._buffer.startswith(BOM):
            self._drop(len(BOM))

    def __len__(self) -> int:
        return len(self._buffer)

    def fill(self, size: int) -> bool:
        """Read until `size` bytes are there or the file ends; return whether any are."""
        while len(self._buffer) < size and not self.ended:
            piece = next(self._pieces, None)
            if piece is None:
                self.ended = True
                break
            self._buffer += piece.data
            self._last = piece.place()
        return len(self._buffer) > 0

    def whole_records(self, most: int) -> tuple[int, int]:
        """Return the size and number of the whole records in the first `most` bytes."""
        if len(self.separator) == 1:
            return self._buffer.rfind(self.separator, 0, most) + 1, self._buffer.count(self.separator, 0, most)
        window = self._head(most)  # a longer separator may overlap itself: only a split from the left finds its places
        records = window.split(self.separator)
        return len(window) - len(records[-1]), len(records) - 1

    def record_size(self, most: int) -> int | None:
        """Return the size of the first record with its separator; None when that is above `most`."""
        searched, size = 0, 0
        while size < most:
            size = min(most, max(2 * size, 1 << 20))
            self.fill(size)
            found = self._buffer.find(self.separator, searched, size)
            if found >= 0:
                return found + len(self.separator)
            searched = max(0, min(size, len(self)) - len(self.separator) + 1)
            if self.ended and len(self) <= size:  # the last record, without a separator
                return len(self) if len(self) <= most - len(self.separator) else None
        return None

    def take(self, size: int, rows: int) -> Block:
        read_bytes, unchecked_bytes = self._last.read_bytes, self._last.unchecked_bytes
        block = Block(self._row, self._offset, read_bytes, self._head(size), unchecked_bytes=unchecked_bytes)
        self._drop(size)
        self._row += rows
        return block

    def skip_record(self) -> None:
        """Drop what is left of a record whose head was taken."""
        overlap = len(self.separator) - 1
        while self.fill(overlap + 1):
            found = self._buffer.find(self.separator)
            if found >= 0:
                self._drop(found + len(self.separator))
                return
            self._drop(len(self) if self.ended else len(self) - overlap)
            if not self.ended:
                self.fill(len(self) + 1)

    def _head(self, size: int) -> bytes:
        return bytes(memoryview(self._buffer)[:size])

    def _drop(self, size: int) -> None:
        del self._buffer[:size]
        self._offset += size
