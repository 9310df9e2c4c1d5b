"""Parquet files: a row is a document, its text one column, its metadata the others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from data_pipeline.sources.columnar import (
    Growing,
    check_columns,
    packed,
    parsed_columns,
    too_much,
    unpacked,
)
from data_pipeline.sources.parquet_layout import Footer, LayoutError, Part, RowGroup, read_footer, row_groups
from data_pipeline.sources.parquet_pieces import cuts, empty_file, small_file, unpacked_bytes
from data_pipeline.sources.source import Block, InputFile, Parsed
from data_pipeline.sources.tables import Tables
from foundation.errors import InputError
from foundation.text import number_of

LARGE_BYTES = 1 << 30
MOST_UNPACKED = 32  # times that a row is unpacked, on average; 1,000 books in one page come to 8
DAMAGED = "fetch the file again, or leave it out"


class Parquet(Tables):
    """Parquet files, of any row groups, packed and encoded in any way that pyarrow reads.

    A document's row is its place in the file, from 0. Its id is the id column's value where that is a text or an
    integer, else `<file name>#<row>`. A text may be string or bytes, plain or in a dictionary. Quarantined are a text
    that is null (`text_type`), one that is no UTF-8, or whose row holds another that is none (`utf8`), and one above
    `max_doc_bytes` (`too_long`).

    A block is a small parquet file: a new footer, and pages of one row group as they stand, neither unpacked nor
    decoded by the parent, which reads the footer and the pages' headers alone. A row group that unpacks to more than a
    partition is cut at rows, each block with the pages that hold its rows; a column of lists or structs, whose pages
    don't say their rows, goes with each of them.

    Measured on one core with pages of 3 kB and eight columns of metadata (zstd, pyarrow 26.0.1): the parent 420 MB/s of
    the file with row groups of 1,000 rows, 920 with one of 200,000; a worker 235 MB/s of text. The other way, a block
    that only names rows and a hash of their row group, would unpack a row group of n blocks n/2 times, for pyarrow
    can't begin within one; and a row group of pyarrow's own default, a million rows, is often some gigabytes.

    The checksums of pages are verified where the file has them: a page that is damaged fails the file. Where it has
    none, a flipped bit that unpacks well can't be noticed.

    Args:
        paths: files or glob patterns, relative to the working folder; or addresses (s3://, gs://, http://, https://).
        source: names the source's shards.
        text_key: the column of the text.
        id_key: the column of the document's id, where there is one.
        weight: share of the training mixture, relative to the other sources'.
        budget: what a training run reads of it in place of the weight: {"tokens": n} or {"epochs": n}.
        tags: fields that are added to the metadata of its documents, e.g. {"domain": "law"}; a record's own stays.
        max_doc_bytes: a longer text is quarantined as `too_long`.
        max_block_bytes: the most that a block may unpack to; bounds memory where a dictionary, a page or a column of
            lists unpacks to more than a partition.
        storage_options: by protocol of `paths`, arguments of its fsspec file system, e.g. {"s3": {"anon": true}}; keys
            and passwords come from the environment alone.
    Raises:
        SettingError: a value that can't work.
    """

    def blocks(self, file: InputFile, partition_bytes: int) -> Iterator[Block]:
        unchecked_bytes = 0
        with file.open() as stream:
            try:
                size_bytes = stream.seek(0, os.SEEK_END)
                footer = read_footer(stream, size_bytes)
                self._check_columns(footer, file)
                for group in row_groups(footer, stream, size_bytes):
                    unchecked_bytes += group.unchecked_bytes()
                    for block in self._cut(group, footer, stream, file, self._keys.cut_bytes(partition_bytes)):
                        yield replace(block, unchecked_bytes=unchecked_bytes)
            except LayoutError as error:
                raise InputError(f"{file.where}: {error}; {DAMAGED}") from error

    def parse(self, block: Block, file: InputFile, file_number: int) -> Parsed:
        facts, data = unpacked(block.data)
        what = f"row group {facts['row_group']}"
        growing = Growing(file, what, self.max_block_bytes)
        columns: dict[str, pa.ChunkedArray] = {}
        start = 0
        for size, passed_rows, batch_rows in facts["files"]:
            try:
                table = _rows(data[start : start + size], passed_rows, facts["rows"], batch_rows, growing)
            except (pa.ArrowException, OSError) as error:
                raise InputError(f"{file.where}: damaged in {what} ({error}); {DAMAGED}") from error
            columns |= dict(zip(table.column_names, table.columns, strict=True))
            start += size
        return parsed_columns(columns, block.first_row, file, file_number, self._keys, growing)

    def _check_columns(self, footer: Footer, file: InputFile) -> None:
        try:
            schema = pq.read_schema(pa.BufferReader(empty_file(footer)))
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # a name may be no UTF-8
            raise LayoutError(f"has a schema that can't be read ({error})") from error
        check_columns(schema, self._keys, file, self)

    def _cut(
        self, group: RowGroup, footer: Footer, stream: BinaryIO, file: InputFile, most_bytes: int
    ) -> Iterator[Block]:
        start = 0
        stops = cuts(group, most_bytes) if group.num_rows else []
        self._check_work(group, stops, file)
        for stop in stops:
            parts = [Part(group.columns, 0, group.num_rows)] if len(stops) == 1 else group.parts(start, stop)
            unpacked_bytes = sum(part.unpacked_bytes() for part in parts)
            if unpacked_bytes > self.max_block_bytes:
                raise too_much(file, f"row group {group.number}", unpacked_bytes, self.max_block_bytes)
            files = [small_file(part, footer, stream) for part in parts]
            facts = {
                "row_group": group.number,
                "rows": stop - start,
                "files": [
                    [sum(map(len, pieces)), start - part.first_row, part.safe_rows(self.max_block_bytes)]
                    for pieces, part in zip(files, parts, strict=True)
                ],
            }
            data = packed(facts, (piece for pieces in files for piece in pieces))
            read_bytes = file.size_bytes * (group.first_row + stop) // footer.num_rows
            yield Block(group.first_row + start, group.start, read_bytes, data, unpacked_bytes)
            start = stop

    def _check_work(self, group: RowGroup, stops: list[int], file: InputFile) -> None:
        """Refuse a large row group that would be unpacked over and over: pyarrow begins at a page, not inside one.

        So it is with a dictionary of huge values, of which a block takes a few: a bomb, or a poor file.
        """
        size = unpacked_bytes(group) if len(stops) > 1 else 0
        if size <= LARGE_BYTES:
            return
        starts = pairwise([0, *stops])
        work = sum(stop - min(part.first_row for part in group.parts(start, stop)) for start, stop in starts)
        if work > MOST_UNPACKED * group.num_rows:
            raise InputError(
                f"{file.where}: row group {group.number} unpacks to {size:,} bytes in blocks of "
                f"{number_of(-(-group.num_rows // len(stops)), 'row')}, each with those before it in its page: "
                f"{work // group.num_rows:,} times the work. Write it with smaller pages, or set partition_bytes and "
                f"corpus.max_block_bytes ({self.max_block_bytes:,}) higher"
            )


def _rows(data: memoryview, passed_rows: int, num_rows: int, batch_rows: int, growing: Growing) -> pa.Table:
    """Return rows of a small file, those before them passed over.

    Args:
        batch_rows: most rows unpacked at a time, so that one batch can't take all memory before it is counted.
    """
    reader = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True, pre_buffer=False)
    batches: list[pa.RecordBatch] = []
    missing = num_rows
    for batch in reader.iter_batches(batch_rows, use_threads=False):
        kept = batch.slice(passed_rows, missing)
        passed_rows -= batch.num_rows - kept.num_rows if kept.num_rows else batch.num_rows
        passed_rows = max(passed_rows, 0)
        growing.add(kept.nbytes)
        missing -= kept.num_rows
        if kept.num_rows:
            batches.append(kept)
        if not missing:
            break
    if missing:
        raise pa.ArrowInvalid(f"{missing:,} of {num_rows:,} rows are missing")
    return pa.Table.from_batches(batches, reader.schema_arrow)
