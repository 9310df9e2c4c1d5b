"""Where the rows of a parquet file lie: row groups, columns, pages; and small files made of some of them.

Source: Apache Parquet, parquet-format 2.12, src/main/thrift/parquet.thrift and README.md. Numbers of fields are its.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, NamedTuple

from data_pipeline.sources.thrift import I32, I64, LIST, STRUCT, Field, Items, Struct, ThriftError
from data_pipeline.sources.thrift import read_struct as read_thrift
from data_pipeline.sources.thrift import write_struct as write_thrift

MAGIC, ENCRYPTED_MAGIC = b"PAR1", b"PARE"
TAIL_BYTES = 8  # the footer's size and the magic
HEADER_BYTES = 4 << 10  # what is read at first for a page's header; statistics of texts may make it longer
MAX_HEADER_BYTES = 16 << 20
MOST_ROWS = 1 << 14  # unpacked at a time
ROW_BYTES = 16  # what a value counts for beside its bytes: a page of 10 bytes can hold a billion rows

DATA_PAGE, INDEX_PAGE, DICTIONARY_PAGE, DATA_PAGE_V2 = range(4)
REPEATED = 2
# what a copied column's metadata keeps: types, encodings, path, codec, counts and where its pages are
_KEPT = (1, 2, 3, 4, 5, 6, 7, 9, 11, 13)
_NUM_VALUES, _UNCOMPRESSED, _COMPRESSED, _DATA_OFFSET, _DICTIONARY_OFFSET = 5, 6, 7, 9, 11
_SIZE_STATISTICS, _UNENCODED_BYTES = 16, 1


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


def small_file(part: Part, footer: Footer, stream: BinaryIO) -> list[bytes]:
    """Return, in pieces, a parquet file of one row group: these columns' pages as they stand, and a new footer."""
    pieces = [MAGIC]
    place = len(MAGIC)
    chunks = []
    for leaf in part.leaves():
        metadata, data = _copied(leaf, place, stream)
        chunks.append({2: Field(I64, place), 3: Field(STRUCT, metadata)})
        pieces += data
        place += metadata[_COMPRESSED].value
    group: Struct = {
        1: Field(LIST, Items(STRUCT, chunks)),
        2: Field(I64, sum(chunk[3].value[_UNCOMPRESSED].value for chunk in chunks)),
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
        if is_flat and mine[0].metadata[_NUM_VALUES].value != num_rows:
            raise LayoutError(
                f"column {column.name!r} has {mine[0].metadata[_NUM_VALUES].value:,} of {num_rows:,} rows"
            )
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
    if metadata[_NUM_VALUES].value == 0:  # some writers say impossible places of these
        return Leaf(metadata, None, [])
    start = metadata[_DATA_OFFSET].value
    if _DICTIONARY_OFFSET in metadata and metadata[_DICTIONARY_OFFSET].value > 0:
        start = min(start, metadata[_DICTIONARY_OFFSET].value)
    stop = start + metadata[_COMPRESSED].value
    if not len(MAGIC) <= start <= stop <= size_bytes - TAIL_BYTES:
        raise LayoutError(f"its pages should lie from byte {start:,} to {stop:,} of {size_bytes:,}")
    dictionary: Page | None = None
    pages: list[Page] = []
    missing = metadata[_NUM_VALUES].value
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


def _copied(leaf: Leaf, place: int, stream: BinaryIO) -> tuple[Struct, list[bytes]]:
    """Return a column's metadata for its pages at another place, and their bytes: one piece where they are adjacent."""
    pages = leaf.all_pages()
    metadata = {number: leaf.metadata[number] for number in _KEPT if number in leaf.metadata}
    size = sum(page.size for page in pages)
    dictionary_size = leaf.dictionary.size if leaf.dictionary else 0
    metadata[_NUM_VALUES] = Field(I64, sum(page.num_values for page in leaf.pages))
    metadata[_UNCOMPRESSED] = Field(I64, sum(page.size + page.unpacked_bytes for page in pages))
    metadata[_COMPRESSED] = Field(I64, size)
    metadata[_DATA_OFFSET] = Field(I64, place + dictionary_size)
    metadata.pop(_DICTIONARY_OFFSET, None)
    if leaf.dictionary:
        metadata[_DICTIONARY_OFFSET] = Field(I64, place)
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
