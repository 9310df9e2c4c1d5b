"""The decompressed bytes of an input file, in order, or an error: a cut file is never taken for a short one.

Magic bytes decide the format, whatever the file is called. Plain stream readers are no help: python-zstandard's returns
66,462 of 200,000 lines of a file cut in half without a word (0.25.0), so each frame's own end is checked here.
"""

from __future__ import annotations

import re
import struct
import sys
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import zstandard

from data_pipeline.sources.source import InputFile, TruncatedInput
from foundation.errors import InputError

READ_BYTES = 1 << 20
# A zstandard block of 4 bytes can stand for 128 KiB and the decoder has no output limit, so it is fed in small bites:
# 4 KiB keep the worst case at 128 MiB. A gzip member's output is limited directly.
ZST_FEED_BYTES = 4 << 10
GZIP_OUT_BYTES = 4 << 20
# A bomb: of any GiB that comes out, more than MAX_RATIO bytes come from one. Measured (gzip -6, zstd -3): log lines 24
# and 22, one page of 3 kB over and over 170 and 7,400, one short line over and over 515 and 10,800, zeros 1,028 and
# 32,100. A corpus with each page ten times in a row stays below 100; above 500 there is nothing left to train on.
MAX_RATIO = 500.0
RATIO_BYTES = 1 << 30  # less output never stops a file, whatever its ratio

GZIP_MAGIC = b"\x1f\x8b"
ZST_MAGIC = b"\x28\xb5\x2f\xfd"
SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18", re.DOTALL)  # RFC 8878, 3.1.2
ZST_HEADER_BYTES = 18  # the longest frame header
GZIP_SUFFIXES = (".gz", ".gzip")
ZST_SUFFIXES = (".zst", ".zstd")


class Piece(NamedTuple):
    """A run of decompressed bytes.

    Attributes:
        read_bytes: how far into the file on disk the reader is after it.
        unchecked_bytes: of these, those that no checksum of the format vouches for.
    """

    data: bytes
    read_bytes: int
    unchecked_bytes: int = 0

    def place(self) -> Piece:
        """Return it without its data."""
        return self._replace(data=b"")


class TrailingGarbage(InputError):
    """Compressed data is followed by bytes that are none."""


def read_pieces(file: InputFile, max_window_bytes: int, max_ratio: float = MAX_RATIO) -> Iterator[Piece]:
    """Yield a file's decompressed bytes: plain, gzip (all members, zero padding allowed) or zstandard (all frames).

    Args:
        max_window_bytes: the largest zstandard window that is decoded; the memory one file may ask for.
        max_ratio: the most bytes that may come out of one that goes in, over every GiB that comes out.
    Raises:
        TruncatedInput: the file ends inside a member or frame; names the file and the byte. Pieces before it were
            yielded, so what was made of them must not be committed.
        TrailingGarbage: something else follows a member or frame.
        InputError: the file can't be opened, the compressed data is damaged, needs a larger window, or is a bomb.
    """
    with file.open() as stream:
        cursor = _Cursor(file.where, stream)
        head = cursor.peek(4)
        _warn_of_name(file, head)
        if head.startswith(GZIP_MAGIC):
            yield from _no_bomb(file, _gzip(cursor), max_ratio)
        elif _is_zst(head):
            yield from _no_bomb(file, _zst(cursor, max_window_bytes), max_ratio)
        else:
            _refuse_cut_magic(file, head)
            yield from _plain(cursor)


def _no_bomb(file: InputFile, pieces: Iterator[Piece], max_ratio: float) -> Iterator[Piece]:
    """Pass pieces on, and stop at a run of RATIO_BYTES that came from too little: also one late in a good file."""
    start, out = 0, 0  # of the run: where in the file on disk it began, what came out since
    for piece in pieces:
        out += len(piece.data)
        if out >= RATIO_BYTES:
            ratio = out / max(piece.read_bytes - start, 1)
            if ratio > max_ratio:
                raise InputError(
                    f"{file.where}: before byte {piece.read_bytes} on disk, {out:,} bytes came out of "
                    f"{piece.read_bytes - start:,}, a ratio of {ratio:,.0f} where {max_ratio:,.0f} is the most "
                    "(corpus.max_ratio, for a corpus): nearly all of it repeats, as in a decompression bomb; leave the "
                    "file out, or raise the ratio where it is meant"
                )
            start, out = piece.read_bytes, 0
        yield piece


class _Cursor:
    """The bytes of a file that no decoder has taken yet; `offset` is where they begin.

    What is read stays whole, beside the place up to which it is taken: cutting the rest off at every bite of 4 KiB
    would copy half a MiB each time.
    """

    def __init__(self, where: str, stream: BinaryIO) -> None:
        self.where = where
        self.offset = 0
        self.unchecked_bytes = 0  # of frames that are finished
        self._stream = stream
        self._read = b""
        self._taken = 0  # bytes of `_read`

    def peek(self, size: int) -> bytes:
        """Return the next `size` bytes without taking them; fewer at the end of the file."""
        while len(self._read) - self._taken < size and (more := self._stream.read(READ_BYTES)):
            self._read, self._taken = self._read[self._taken :] + more, 0
        return self._read[self._taken : self._taken + size]

    def take(self, most: int) -> bytes:
        """Take 1 to `most` bytes; none at the end of the file."""
        if self._taken == len(self._read):
            self._read, self._taken = self._stream.read(READ_BYTES), 0
        data = self._read[self._taken : self._taken + most]
        self._move(len(data))
        return data

    def give_back(self, data: bytes) -> None:
        """Return the end of what `take` gave last."""
        assert self._read[: self._taken].endswith(data)
        self._move(-len(data))

    def _move(self, size: int) -> None:
        self._taken += size
        self.offset += size


def _plain(cursor: _Cursor) -> Iterator[Piece]:
    while data := cursor.take(READ_BYTES):
        yield Piece(data, cursor.offset, cursor.offset)


def _gzip(cursor: _Cursor) -> Iterator[Piece]:
    while head := cursor.peek(2):
        if head == GZIP_MAGIC:
            yield from _gzip_member(cursor)
        elif head[:1] == b"\x00":  # tapes and block devices pad with zeros
            _take_zeros(cursor)
        elif head == GZIP_MAGIC[:1]:
            raise _truncated(cursor, "gzip member", cursor.offset)
        else:
            raise _trailing(cursor, "gzip member")


def _gzip_member(cursor: _Cursor) -> Iterator[Piece]:
    start = cursor.offset
    decoder = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    while not decoder.eof:
        data = cursor.take(READ_BYTES)
        if not data:
            raise _truncated(cursor, "gzip member", start)
        while data and not decoder.eof:
            try:
                out = decoder.decompress(data, GZIP_OUT_BYTES)
            except zlib.error as error:
                raise _damaged(cursor, f"gzip member that begins at byte {start}", error) from error
            data = decoder.unconsumed_tail
            if out:
                yield Piece(out, cursor.offset - len(data) - len(decoder.unused_data))
    cursor.give_back(decoder.unused_data)


def _take_zeros(cursor: _Cursor) -> None:
    while data := cursor.take(READ_BYTES):
        if rest := data.lstrip(b"\x00"):
            cursor.give_back(rest)
            return


def _zst(cursor: _Cursor, max_window_bytes: int) -> Iterator[Piece]:
    while head := cursor.peek(4):
        if head == ZST_MAGIC:
            yield from _zst_frame(cursor, max_window_bytes)
        elif _is_zst(head):
            _skip_frame(cursor)
        elif len(head) < 4 and _begins_zst(head):
            raise _truncated(cursor, "zstandard frame", cursor.offset)
        else:
            raise _trailing(cursor, "zstandard frame")


def _zst_frame(cursor: _Cursor, max_window_bytes: int) -> Iterator[Piece]:
    start = cursor.offset
    decoder, has_checksum = _zst_decoder(cursor, max_window_bytes)
    while not decoder.eof:
        data = cursor.take(ZST_FEED_BYTES)
        if not data:
            raise _truncated(cursor, "zstandard frame", start)
        try:
            out = decoder.decompress(data)
        except zstandard.ZstdError as error:
            raise _damaged(cursor, f"zstandard frame that begins at byte {start}", error) from error
        if out:
            stop = cursor.offset - len(decoder.unused_data)
            yield Piece(out, stop, cursor.unchecked_bytes + (0 if has_checksum else stop - start))
    cursor.give_back(decoder.unused_data)
    cursor.unchecked_bytes += 0 if has_checksum else cursor.offset - start


def _zst_decoder(cursor: _Cursor, max_window_bytes: int) -> tuple[zstandard.ZstdDecompressionObj, bool]:
    """Return what decodes the frame, and whether it ends with a checksum."""
    header = cursor.peek(ZST_HEADER_BYTES)
    try:
        parameters = zstandard.get_frame_parameters(header)
    except zstandard.ZstdError as error:
        if len(header) < ZST_HEADER_BYTES:
            raise _truncated(cursor, "zstandard frame header", cursor.offset) from error
        raise _damaged(cursor, "zstandard frame header", error) from error
    window_bytes = parameters.window_size
    if window_bytes > max_window_bytes:
        raise InputError(
            f"{cursor.where}: the zstandard frame at byte {cursor.offset} needs a window of {window_bytes:,} bytes, "
            f"more than the {max_window_bytes:,} that may be taken (corpus.max_window_bytes, for a corpus); "
            "compress it again without --long"
        )
    decoder = zstandard.ZstdDecompressor(max_window_size=max_window_bytes).decompressobj()
    return decoder, bool(parameters.has_checksum)


def _skip_frame(cursor: _Cursor) -> None:
    """Pass over a skippable frame: magic, 4 bytes of size, that many bytes of anything."""
    start = cursor.offset
    header = cursor.peek(8)
    left = 8 + (struct.unpack_from("<I", header, 4)[0] if len(header) == 8 else 0)
    while left:
        taken = cursor.take(min(left, READ_BYTES))
        if not taken:
            raise _truncated(cursor, "skippable zstandard frame", start)
        left -= len(taken)


def _is_zst(head: bytes) -> bool:
    return head == ZST_MAGIC or SKIPPABLE.fullmatch(head) is not None


def _begins_zst(head: bytes) -> bool:
    return ZST_MAGIC.startswith(head) or _is_zst(head + b"\x50\x2a\x4d\x18"[len(head) :])


def _warn_of_name(file: InputFile, head: bytes) -> None:
    """Say when a file is not what its name says: it is read all the same, but may not be the one that was meant."""
    name = file.name.lower()
    named = "gzip" if name.endswith(GZIP_SUFFIXES) else "zstandard" if name.endswith(ZST_SUFFIXES) else "plain"
    found = "gzip" if head.startswith(GZIP_MAGIC) else "zstandard" if _is_zst(head) else "plain"
    if head and found != named:
        print(
            f"warning: {file.where}: is {found} by its first bytes, not {named} as its name says; read as {found}",
            file=sys.stderr,
        )


def _refuse_cut_magic(file: InputFile, head: bytes) -> None:
    """Refuse a file that is called compressed and ends within the magic bytes: it was cut."""
    name = file.name.lower()
    cut_gzip = name.endswith(GZIP_SUFFIXES) and len(head) < len(GZIP_MAGIC) and GZIP_MAGIC.startswith(head)
    cut_zst = name.endswith(ZST_SUFFIXES) and len(head) < len(ZST_MAGIC) and _begins_zst(head)
    if cut_gzip or cut_zst:
        raise TruncatedInput(
            f"{file.where}: ends after byte {len(head)}, before its first {'gzip member' if cut_gzip else 'frame'} "
            "has begun; fetch the file again, or leave it out"
        )


def _truncated(cursor: _Cursor, what: str, start: int) -> TruncatedInput:
    end = cursor.offset + len(cursor.peek(READ_BYTES))
    return TruncatedInput(
        f"{cursor.where}: ends after byte {end}, inside the {what} that begins at byte {start}; "
        "fetch the file again, or leave it out"
    )


def _trailing(cursor: _Cursor, what: str) -> TrailingGarbage:
    return TrailingGarbage(
        f"{cursor.where}: at byte {cursor.offset} a {what} ends and {cursor.peek(8)!r} follows, which begins no other; "
        "fetch the file again, or cut it there"
    )


def _damaged(cursor: _Cursor, what: str, error: Exception) -> InputError:
    return InputError(
        f"{cursor.where}: damaged before byte {cursor.offset}, in the {what} ({error}); fetch the file again"
    )
