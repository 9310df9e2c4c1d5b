"""Cuts CSV into blocks of whole records. Where it cuts depends on the content and the limits alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from data_pipeline.sources.csv_scan import FIELD, QUOTED, walk
from data_pipeline.sources.decompress import Piece
from data_pipeline.sources.records import BOM
from data_pipeline.sources.source import InputFile, TruncatedInput

ALL = 1 << 62  # records


class Run(NamedTuple):
    """Whole records, or the beginning of one that is too long.

    Attributes:
        is_whole: whether it is not such a beginning.
        line: of the file where it begins, from 1.
        offset_bytes: the same in bytes.
        read_bytes, unchecked_bytes: as of a Block.
    """

    data: bytes
    records: int
    line: int
    offset_bytes: int
    read_bytes: int
    unchecked_bytes: int
    is_whole: bool = True


class CsvCutter:
    """The bytes that are read and not yet cut, and where in the file they begin.

    Args:
        file: for errors.
        pieces: decompressed bytes in order; a BOM at the start is dropped and counted.
        delimiter: of fields, one byte.
    """

    def __init__(self, file: InputFile, pieces: Iterator[Piece], delimiter: bytes) -> None:
        self._file, self._pieces, self._delimiter = file, pieces, delimiter
        self._data = b""
        self._line, self._offset, self._place = 1, 0, Piece(b"", 0)
        self._ended = False
        self._fill(len(BOM))
        if self._data.startswith(BOM):
            self._drop(len(BOM), 0)

    def one(self, most_bytes: int) -> Run | None:
        """Return the next record, its line end with it, or its first `most_bytes` + 1 bytes where it is longer.

        Raises:
            TruncatedInput: the file ends inside a quoted field.
        """
        if not self._fill(1):
            return None
        state, searched, lines = FIELD, 0, 0
        while searched <= most_bytes + 1:  # its newline is none of its bytes
            size = min(most_bytes + 2, max(2 * searched, 1 << 20))
            self._fill(size)
            walked = walk(self._data, searched, size, state, 1, self._delimiter)
            lines += walked.all_lines
            if walked.records:
                return self._take(walked.end, 1, lines)
            state, searched = walked.state, min(size, len(self._data))
            if self._ended and searched == len(self._data):
                self._check(state)
                return self._take(searched, 1, lines) if searched <= most_bytes + 1 else self._head(most_bytes, state)
        return self._head(most_bytes, state)

    def runs(self, partition_bytes: int, most_bytes: int) -> Iterator[Run]:
        """Yield the rest: each time the longest run of records that fits in `partition_bytes`, or one longer record.

        Args:
            most_bytes: of a record; of a longer one only the first `most_bytes` + 1 come, a run of its own.
        Raises:
            TruncatedInput: the file ends inside a quoted field; names the line where its record begins.
        """
        while self._fill(partition_bytes + 1):
            walked = walk(self._data, 0, partition_bytes, FIELD, ALL, self._delimiter)
            if self._ended and len(self._data) <= partition_bytes:
                yield self._last(walked.records, walked.end, walked.state, walked.all_lines)
            elif walked.records:
                yield self._take(walked.end, walked.records, walked.lines)
            else:
                run = self.one(most_bytes)
                assert run is not None
                yield run

    def _last(self, records: int, end: int, state: int, all_lines: int) -> Run:
        if state == QUOTED:
            self._line += self._data.count(b"\n", 0, end)  # where the open record begins
        self._check(state)
        return self._take(len(self._data), records + (end < len(self._data)), all_lines)

    def _head(self, most_bytes: int, state: int) -> Run:
        """Return the beginning of a record, and pass over the rest of it."""
        run = self._run(self._data[: most_bytes + 1], 1)._replace(is_whole=False)
        lines = self._data.count(b"\n", 0, min(len(self._data), most_bytes + 2))
        self._offset += min(len(self._data), most_bytes + 2)
        self._data = self._data[most_bytes + 2 :]
        while self._fill(1):
            walked = walk(self._data, 0, len(self._data), state, 1, self._delimiter)
            lines += walked.all_lines
            size = walked.end if walked.records else len(self._data)
            self._data = self._data[size:]
            self._offset += size
            state = walked.state
            if walked.records:
                break
        else:
            self._check(state)
        self._line += lines
        return run

    def _check(self, state: int) -> None:
        """Refuse a file that ends inside a quoted field: what it swallowed can't be told from what it holds."""
        if state == QUOTED:
            raise TruncatedInput(
                f"{self._file.where}: ends inside a quoted field of the record that begins in line {self._line}; fetch "
                "the file again where it was cut, or mend the quote there: one inside a quoted field is written twice"
            )

    def _fill(self, size: int) -> bool:
        """Read until `size` bytes are there or the file ends; return whether any are."""
        parts = [self._data]
        held = len(self._data)
        while held < size and not self._ended:
            piece = next(self._pieces, None)
            if piece is None:
                self._ended = True
                break
            parts.append(piece.data)
            held += len(piece.data)
            self._place = piece.place()
        if len(parts) > 1:
            self._data = b"".join(parts)
        return held > 0

    def _take(self, size: int, records: int, lines: int) -> Run:
        run = self._run(self._data[:size], records)
        self._drop(size, lines)
        return run

    def _run(self, data: bytes, records: int) -> Run:
        return Run(data, records, self._line, self._offset, self._place.read_bytes, self._place.unchecked_bytes)

    def _drop(self, size: int, lines: int) -> None:
        self._data = self._data[size:]
        self._offset += size
        self._line += lines
