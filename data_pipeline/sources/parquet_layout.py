"""Where the rows of a parquet file lie: row groups, columns, pages.

Source: Apache Parquet, parquet-format 2.12, src/main/thrift/parquet.thrift and README.md. Numbers of fields are its.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO, NamedTuple

from data_pipeline.sources.thrift import Struct, ThriftError
from data_pipeline.sources.thrift import read_struct as read_thrift

MAGIC, ENCRYPTED_MAGIC = b"PAR1", b"PARE"
TAIL_BYTES = 8  # the footer's size and the magic
HEADER_BYTES = 4 << 10  # what is read at first for a page's header; statistics of texts may make it longer
MAX_HEADER_BYTES = 16 << 20
MOST_ROWS = 1 << 14  # unpacked at a time
ROW_BYTES = 16  # what a value counts for beside its bytes: a page of 10 bytes can hold a billion rows

DATA_PAGE, INDEX_PAGE, DICTIONARY_PAGE, DATA_PAGE_V2 = range(4)
REPEATED = 2
NUM_VALUES, UNCOMPRESSED, COMPRESSED, DATA_OFFSET, DICTIONARY_OFFSET = 5, 6, 7, 9, 11


class LayoutError(Exception):
    """The file isn't laid out as parquet; says how."""


class Page(NamedTuple):
    """A page: where its header begins and its bytes with the header, in the file; its values, its bytes unpacked."""

    offset: int
    size: int
    num_values: int
    unpacked_bytes: int
    has_checksum: bool


@dataclass(frozen=True, slots=True)
class Leaf:
    """The pages of one column chunk.

    Attributes:
        metadata: its ColumnMetaData.
        dictionary: the page of its dictionary, where it has one.
        pages: its pages of data, in order.
    """

    metadata: Struct
    dictionary: Page | None
    pages: list[Page]

    def all_pages(self) -> list[Page]:
        """Return its pages in the order in which they lie in the file."""
        return self.pages if self.dictionary is None else [self.dictionary, *self.pages]

    def unpacked_bytes(self) -> int:
        """Return the bytes of its pages, unpacked, with what values count for by their number alone."""
        return sum(page.unpacked_bytes + ROW_BYTES * page.num_values for page in self.pages) + (
            self.dictionary.unpacked_bytes if self.dictionary else 0
        )


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a row group at the top of the schema.

    Attributes:
        schema: its SchemaElements, those inside included.
        leaves: one where it is flat; of a struct or list those inside.
        is_flat: whether a value of its one leaf is a row.
    """

    schema: list[Struct]
    leaves: list[Leaf]
    is_flat: bool

    @property
    def name(self) -> str:
        return str(self.schema[0][4].value.decode(errors="backslashreplace"))


@dataclass(frozen=True, slots=True)
class RowGroup:
    """A row group.

    Attributes:
        number: its own in the file.
        first_row: of the file.
        start, stop: the bytes of the file that hold its pages.
    """

    number: int
    first_row: int
    num_rows: int
    start: int
    stop: int
    columns: list[Column]

    def unchecked_bytes(self) -> int:
        """Return the bytes of the file in pages that have no checksum."""
        pages = (page for column in self.columns for leaf in column.leaves for page in leaf.all_pages())
        return sum(page.size for page in pages if not page.has_checksum)

    def parts(self, start: int, stop: int) -> list[Part]:
        """Return what holds rows `start` to `stop`: of flat columns the pages, of others all, each column by itself."""
        return [_part(column, start, stop, self.num_rows) for column in self.columns]


@dataclass(frozen=True, slots=True)
class Part:
    """Columns of a row group with pages that hold the same rows.

    Attributes:
        first_row: of the row group.
    """

    columns: list[Column]
    first_row: int
    num_rows: int

    def leaves(self) -> list[Leaf]:
        """Return those of all its columns."""
        return [leaf for column in self.columns for leaf in column.leaves]

    def unpacked_bytes(self) -> int:
        """Return the bytes of its pages, unpacked, with what rows count for by their number alone."""
        return sum(leaf.unpacked_bytes() for leaf in self.leaves())

    def safe_rows(self, most_bytes: int) -> int:
        """Return how many rows can be unpacked at once, were each the longest value of its dictionary."""
        words = sum(leaf.dictionary.unpacked_bytes for leaf in self.leaves() if leaf.dictionary)
        return max(1, min(MOST_ROWS, most_bytes // max(words, 1)))


@dataclass(frozen=True, slots=True)
class Footer:
    """A file's FileMetaData, and its top columns: their SchemaElements."""

    metadata: Struct
    columns: list[list[Struct]]

    @property
    def num_rows(self) -> int:
        """Return the rows of the file."""
        return int(self.metadata[3].value)


def read_footer(stream: BinaryIO, size_bytes: int) -> Footer:
    """Read the footer at a file's end.

    Raises:
        LayoutError: there is none.
    """
    if size_bytes < len(MAGIC) + TAIL_BYTES:
        raise LayoutError(f"has {size_bytes} bytes, fewer than any parquet file")
    stream.seek(0)
    head = stream.read(len(MAGIC))
    stream.seek(size_bytes - TAIL_BYTES)
    tail = stream.read(TAIL_BYTES)
    if ENCRYPTED_MAGIC in (head, tail[4:]):
        raise LayoutError("is encrypted, which can't be read here; decrypt it first")
    if head != MAGIC:
        raise LayoutError(f"begins with {head!r} in place of {MAGIC!r}: it is no parquet file")
    if tail[4:] != MAGIC:
        raise LayoutError(f"ends with {tail[4:]!r} in place of {MAGIC!r}: it was cut, or something was appended")
    size = struct.unpack("<I", tail[:4])[0]
    if size > size_bytes - len(MAGIC) - TAIL_BYTES:
        raise LayoutError(f"says that its footer has {size:,} bytes, more than the file")
    stream.seek(size_bytes - TAIL_BYTES - size)
    try:
        metadata, end = read_thrift(stream.read(size))
        if end != size:
            raise LayoutError(f"has a footer of {size:,} bytes of which only {end:,} are read")
        return Footer(metadata, _top_columns(metadata[2].value.values))
    except ThriftError as error:
        raise LayoutError(f"has a bad footer: it {error}") from error
    except (KeyError, AttributeError, TypeError, IndexError) as error:
        raise LayoutError(f"has a bad footer ({type(error).__name__}: {error})") from error


def row_groups(footer: Footer, stream: BinaryIO, size_bytes: int) -> Iterator[RowGroup]:
    """Yield the row groups, the headers of all their pages read; the pages themselves not.

    Raises:
        LayoutError: pages lie elsewhere than the footer says, or hold another number of values.
    """
    first_row = 0
    try:
        groups = footer.metadata[4].value.values
        for number, group in enumerate(groups):
            try:
                found = _row_group(footer, group, number, first_row, stream, size_bytes)
            except (LayoutError, ThriftError) as error:
                raise LayoutError(f"is damaged in row group {number}: {error}") from error
            yield found
            first_row += found.num_rows
        told = footer.metadata[3].value
    except (KeyError, AttributeError, TypeError, IndexError, OverflowError, ValueError) as error:
        raise LayoutError(f"has a bad footer ({type(error).__name__}: {error})") from error
    if first_row != told:
        raise LayoutError(f"holds {first_row:,} rows where its footer says {told:,}")


def _part(column: Column, start: int, stop: int, num_rows: int) -> Part:
    if not column.is_flat:
        return Part([column], 0, num_rows)
    (leaf,) = column.leaves
    kept: list[Page] = []
    row, first = 0, start
    for page in leaf.pages:
        if row < stop and row + page.num_values > start:
            first = first if kept else row
            kept.append(page)
        row += page.num_values
    only = replace(column, leaves=[replace(leaf, pages=kept)])
    return Part([only], first, sum(page.num_values for page in kept))


def _top_columns(elements: list[Struct]) -> list[list[Struct]]:
    """Return the schema's elements by the top column that they belong to."""
    columns: list[list[Struct]] = []
    place = 1
    for _ in range(elements[0][5].value):
        size = _size_of_subtree(elements, place)
        columns.append(elements[place : place + size])
        place += size
    if place != len(elements):
        raise LayoutError("has a bad footer: its schema's parts are not those of its columns")
    return columns


def _size_of_subtree(elements: list[Struct], place: int) -> int:
    size, wanted = 0, 1
    while wanted:
        children = elements[place + size].get(5)
        wanted += (children.value if children else 0) - 1
        size += 1
    return size


def _row_group(
    footer: Footer, group: Struct, number: int, first_row: int, stream: BinaryIO, size_bytes: int
) -> RowGroup:
    chunks = group[1].value.values
    num_rows = group[3].value
    leaves = [_leaf(chunk, stream, size_bytes) for chunk in chunks]
    columns: list[Column] = []
    for schema in footer.columns:
        count = sum(5 not in element for element in schema)
        mine, leaves = leaves[:count], leaves[count:]
        if len(mine) != count:
            raise LayoutError("it has fewer columns than the schema")
        repetition = schema[0].get(3)
        is_flat = len(schema) == 1 and not (repetition and repetition.value == REPEATED)
        column = Column(schema, mine, is_flat)
        if is_flat and mine[0].metadata[NUM_VALUES].value != num_rows:
            raise LayoutError(f"column {column.name!r} has {mine[0].metadata[NUM_VALUES].value:,} of {num_rows:,} rows")
        columns.append(column)
    if leaves:
        raise LayoutError("it has more columns than the schema")
    offsets = [page.offset for column in columns for leaf in column.leaves for page in leaf.pages]
    ends = [page.offset + page.size for column in columns for leaf in column.leaves for page in leaf.pages]
    return RowGroup(number, first_row, num_rows, min(offsets, default=0), max(ends, default=0), columns)


def _leaf(chunk: Struct, stream: BinaryIO, size_bytes: int) -> Leaf:
    if 1 in chunk and chunk[1].value:
        raise LayoutError(f"its pages are in another file, {chunk[1].value!r}, which can't be read here")
    metadata: Struct = chunk[3].value
    if metadata[NUM_VALUES].value == 0:  # some writers say impossible places of these
        return Leaf(metadata, None, [])
    start = metadata[DATA_OFFSET].value
    if DICTIONARY_OFFSET in metadata and metadata[DICTIONARY_OFFSET].value > 0:
        start = min(start, metadata[DICTIONARY_OFFSET].value)
    stop = start + metadata[COMPRESSED].value
    if not len(MAGIC) <= start <= stop <= size_bytes - TAIL_BYTES:
        raise LayoutError(f"its pages should lie from byte {start:,} to {stop:,} of {size_bytes:,}")
    dictionary: Page | None = None
    pages: list[Page] = []
    missing = metadata[NUM_VALUES].value
    while missing > 0:
        kind, page = _page(stream, start, stop)
        start = page.offset + page.size
        if kind == DICTIONARY_PAGE:
            if dictionary or pages:
                raise LayoutError(f"a dictionary comes too late, at byte {page.offset:,}")
            dictionary = page
        elif kind in (DATA_PAGE, DATA_PAGE_V2) and page.num_values:
            pages.append(page)
            missing -= page.num_values
    if missing < 0:
        raise LayoutError(f"its pages hold {-missing:,} values more than its footer says")
    return Leaf(metadata, dictionary, pages)


def _page(stream: BinaryIO, offset: int, stop: int) -> tuple[int, Page]:
    if offset >= stop:
        raise LayoutError(f"its pages end at byte {stop:,}, before all values have come")
    header, size = _header(stream, offset, stop)
    kind, unpacked, packed = (header[number].value for number in (1, 2, 3))
    end = offset + size + packed
    if packed < 0 or unpacked < 0 or end > stop:
        raise LayoutError(f"the page at byte {offset:,} has impossible sizes")
    inner = {DATA_PAGE: 5, DICTIONARY_PAGE: 7, DATA_PAGE_V2: 8}.get(kind)
    num_values = header[inner].value[1].value if inner else 0
    if num_values < 0:
        raise LayoutError(f"the page at byte {offset:,} has {num_values:,} values")
    return kind, Page(offset, size + packed, num_values, unpacked, 4 in header)


def _header(stream: BinaryIO, offset: int, stop: int) -> tuple[Struct, int]:
    most = HEADER_BYTES
    while True:
        stream.seek(offset)
        data = stream.read(min(most, stop - offset))
        try:
            return read_thrift(data)
        except ThriftError as error:
            if len(data) < most or most >= MAX_HEADER_BYTES:
                raise LayoutError(f"the header of the page at byte {offset:,} {error}") from error
        most *= 16
