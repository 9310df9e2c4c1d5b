"""Small parquet files made of some pages of a large one, and the rows at which it is cut into them.

Source: Apache Parquet, parquet-format 2.12, src/main/thrift/parquet.thrift. Numbers of fields are its.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

from data_pipeline.sources.parquet_layout import (
    COMPRESSED,
    DATA_OFFSET,
    DICTIONARY_OFFSET,
    MAGIC,
    NUM_VALUES,
    ROW_BYTES,
    UNCOMPRESSED,
    Column,
    Footer,
    LayoutError,
    Leaf,
    Page,
    Part,
    RowGroup,
)
from data_pipeline.sources.thrift import I32, I64, LIST, STRUCT, Field, Items, Struct
from data_pipeline.sources.thrift import write_struct as write_thrift

# what a copied column's metadata keeps: types, encodings, path, codec, counts and where its pages are
_KEPT = (1, 2, 3, 4, 5, 6, 7, 9, 11, 13)
_SIZE_STATISTICS, _UNENCODED_BYTES = 16, 1


def small_file(part: Part, footer: Footer, stream: BinaryIO) -> list[bytes]:
    """Return, in pieces, a parquet file of one row group: these columns' pages as they stand, and a new footer."""
    pieces = [MAGIC]
    place = len(MAGIC)
    chunks = []
    for leaf in part.leaves():
        metadata, data = _copied(leaf, place, stream)
        chunks.append({2: Field(I64, place), 3: Field(STRUCT, metadata)})
        pieces += data
        place += metadata[COMPRESSED].value
    group: Struct = {
        1: Field(LIST, Items(STRUCT, chunks)),
        2: Field(I64, sum(chunk[3].value[UNCOMPRESSED].value for chunk in chunks)),
        3: Field(I64, part.num_rows),
    }
    return [*pieces, *_end(footer, [column.schema for column in part.columns], [group], part.num_rows)]


def empty_file(footer: Footer) -> bytes:
    """Return a parquet file of the same columns without rows."""
    return b"".join([MAGIC, *_end(footer, footer.columns, [], 0)])


def _end(footer: Footer, columns: list[list[Struct]], groups: list[Struct], num_rows: int) -> list[bytes]:
    """Return what follows the pages. Arrow's own words on types are left out: they are of all columns."""
    root = footer.metadata[2].value.values[0]
    metadata = {
        1: footer.metadata[1],
        2: Field(
            LIST,
            Items(STRUCT, [root | {5: Field(I32, len(columns))}, *(each for column in columns for each in column)]),
        ),
        3: Field(I64, num_rows),
        4: Field(LIST, Items(STRUCT, groups)),
    }
    if created_by := footer.metadata.get(6):  # readers mend what some writers got wrong by it
        metadata[6] = created_by
    data = write_thrift(metadata)
    return [data, struct.pack("<I", len(data)), MAGIC]


def cuts(group: RowGroup, most_bytes: int) -> list[int]:
    """Return the rows of a row group at which blocks end, so that each unpacks to `most_bytes` or is one row.

    What a row takes is known by the page alone: within one all count the same.
    """
    ends = sorted({end for column in group.columns for end in _page_ends(column)} | {group.num_rows})
    spans = [_Spans(column, group.num_rows) for column in group.columns]
    found: list[int] = []
    begin, held = 0, 0  # of the block that is being filled
    row = 0
    for end in ends:
        size = sum(span.take(end) for span in spans)
        rows, a_row = end - row, -(-size // max(end - row, 1))
        while rows:
            fit = min(rows, max((most_bytes - held) // max(a_row, 1), 1 if row == begin else 0))
            row, rows, held = row + fit, rows - fit, held + fit * a_row
            if rows:
                found.append(row)
                begin, held = row, 0
    return [*found, group.num_rows]


def unpacked_bytes(group: RowGroup) -> int:
    """Return what a row group unpacks to, as its footer and its pages say."""
    return sum(_Spans(column, group.num_rows).take(group.num_rows) for column in group.columns)


class _Spans:
    """Walks through a column's pages by row."""

    def __init__(self, column: Column, num_rows: int) -> None:
        self._row = 0
        leaf = column.leaves[0]
        pages = leaf.pages
        if column.is_flat:
            scale = _unencoded(leaf)
            self._pages = [
                (page.num_values, scale(page.unpacked_bytes) + ROW_BYTES * page.num_values) for page in pages
            ]
        else:
            self._pages = [(num_rows, sum(leaf.unpacked_bytes() for leaf in column.leaves))]
        self._number, self._first = 0, 0

    def take(self, end: int) -> int:
        """Return the bytes of the rows up to `end`, which lies in the page at hand or at its end."""
        if self._number == len(self._pages):
            return 0
        num_rows, size = self._pages[self._number]
        taken: int = size * (end - self._first) // num_rows - size * (self._row - self._first) // num_rows
        self._row = end
        if end == self._first + num_rows:
            self._first, self._number = end, self._number + 1
        return taken


def _unencoded(leaf: Leaf) -> Any:
    """Return what turns a page's bytes into those of its texts, where the writer says how long all are: a dictionary's
    texts are in no page of data."""
    statistics = leaf.metadata.get(_SIZE_STATISTICS)
    told = statistics.value.get(_UNENCODED_BYTES) if statistics else None
    held = sum(page.unpacked_bytes for page in leaf.pages)
    if told is None or told.value <= held or not held:
        return lambda size: size
    return lambda size: size * told.value // held


def _page_ends(column: Column) -> Iterator[int]:
    row = 0
    for page in column.leaves[0].pages if column.is_flat else []:
        row += page.num_values
        yield row


def _copied(leaf: Leaf, place: int, stream: BinaryIO) -> tuple[Struct, list[bytes]]:
    """Return a column's metadata for its pages at another place, and their bytes: one piece where they are adjacent."""
    pages = leaf.all_pages()
    metadata = {number: leaf.metadata[number] for number in _KEPT if number in leaf.metadata}
    size = sum(page.size for page in pages)
    dictionary_size = leaf.dictionary.size if leaf.dictionary else 0
    metadata[NUM_VALUES] = Field(I64, sum(page.num_values for page in leaf.pages))
    metadata[UNCOMPRESSED] = Field(I64, sum(page.size + page.unpacked_bytes for page in pages))
    metadata[COMPRESSED] = Field(I64, size)
    metadata[DATA_OFFSET] = Field(I64, place + dictionary_size)
    metadata.pop(DICTIONARY_OFFSET, None)
    if leaf.dictionary:
        metadata[DICTIONARY_OFFSET] = Field(I64, place)
    return metadata, [_read(stream, start, stop) for start, stop in _runs(pages)]


def _runs(pages: list[Page]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for page in pages:
        if runs and runs[-1][1] == page.offset:
            runs[-1] = runs[-1][0], page.offset + page.size
        else:
            runs.append((page.offset, page.offset + page.size))
    return runs


def _read(stream: BinaryIO, start: int, stop: int) -> bytes:
    stream.seek(start)
    data = stream.read(stop - start)
    if len(data) != stop - start:
        raise LayoutError(f"ends at byte {start + len(data):,}, before its pages do: it is being written to")
    return data
