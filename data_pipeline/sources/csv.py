"""CSV, and tables with another delimiter: a record is a document, its text one column, its metadata the others.

A record that can't be taken as it stands is quarantined with its line under one of these reasons: `ragged` (more or
fewer fields than the header), `csv_quote` (something follows a closing quote), `utf8`, `too_long`; of a last record
without a line end, whose file was cut: `csv_eof` (fewer fields than the header), `utf8_eof` (it ends inside a
character). A file that ends inside a quoted field is refused as a whole.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from data_pipeline.documents import Quarantined
from data_pipeline.sources.batches import NO_METADATA, document_batch
from data_pipeline.sources.columnar import check_id_column, no_text_column, packed, unpacked
from data_pipeline.sources.csv_records import CsvCutter, Run
from data_pipeline.sources.csv_scan import (
    FIELD_START,
    FIELD_STOP,
    FIRST_FIELD,
    HAS_QUOTES,
    IS_BROKEN,
    LINES,
    NUM_FIELDS,
    START,
    STOP,
    Scanned,
    scan_records,
)
from data_pipeline.sources.decompress import MAX_RATIO
from data_pipeline.sources.inputs import check_paths, check_source, find_files
from data_pipeline.sources.records import (
    MAX_DOC_BYTES,
    MAX_WINDOW_BYTES,
    TOO_LONG,
    check_limits,
    encoding_of,
    ends_inside_a_character,
    evidence,
    text_pieces,
)
from data_pipeline.sources.source import Block, InputFile, Parsed, Source
from foundation.errors import InputError, require
from foundation.text import one_line

OTHER_DELIMITERS = {",": ",", ";": ";", r"\t": "\t", "|": "|"}  # as typed: as meant
HEAD_CHARS = 60


class Csv(Source):
    r"""CSV with a header, also .gz and .zst (magic bytes decide).

    How quotes are read: `csv_scan`. A document's row is its record's number, from 0 after the header, blank lines
    included. Its id is what stands in the id column, else `<file name>#<row>`. Every value is text: CSV knows no other
    type.

    The parent process finds where records end; a block holds records as they stand, the columns' names and its first
    line. Measured on one core with pages of 3 kB: the parent 310 MB/s (the kernel alone 1,000), a worker 200; Python's
    own csv module reads 150 without making documents.

    Args:
        paths: files or glob patterns, relative to the working folder; or addresses (s3://, gs://, http://, https://).
        source: names the source's shards.
        text_key: the column of the text, by its name in the header.
        id_key: the column of the document's id, where there is one.
        delimiter: what stands between two fields, one character of ASCII; the two characters "\t" mean a tab.
        weight: share of the training mixture, relative to the other sources'.
        budget: what a training run reads of it in place of the weight: {"tokens": n} or {"epochs": n}.
        tags: fields that are added to the metadata of its documents, e.g. {"domain": "law"}; a record's own stays.
        max_doc_bytes: a longer record is quarantined as `too_long`; bounds memory.
        max_window_bytes: the largest zstandard window that is decoded; bounds memory.
        max_ratio: the most bytes that may come out of a compressed one, over every GiB that comes out: stops bombs.
        storage_options: by protocol of `paths`, arguments of its fsspec file system, e.g. {"s3": {"anon": true}}; keys
            and passwords come from the environment alone.
    Raises:
        SettingError: a value that can't work.
    """

    def __init__(
        self,
        paths: list[str],
        source: str = "csv",
        text_key: str = "text",
        id_key: str = "id",
        delimiter: str = ",",
        weight: float = 1.0,
        budget: dict[str, float] | None = None,
        tags: dict[str, str] | None = None,
        max_doc_bytes: int = MAX_DOC_BYTES,
        max_window_bytes: int = MAX_WINDOW_BYTES,
        max_ratio: float = MAX_RATIO,
        storage_options: dict[str, dict[str, Any]] | None = None,
    ) -> None:
        check_source(source, weight, budget, tags)
        check_paths(paths, storage_options)
        check_limits(max_doc_bytes, max_window_bytes, max_ratio)
        require(text_key != id_key, "id_key", id_key, "the column of each document's id, which is not text_key's")
        meant = delimiter.replace(r"\t", "\t")
        is_allowed = len(meant) == 1 and meant.isascii() and meant not in '"\r\n'
        require(is_allowed, "delimiter", delimiter, r'one character of ASCII, e.g. ";" or "\t", no quote or line end')
        self.name, self.weight, self.budget, self.tags = source, weight, budget, tags
        self.paths, self.text_key, self.id_key, self.delimiter = paths, text_key, id_key, meant
        self.max_doc_bytes, self.max_window_bytes, self.max_ratio = max_doc_bytes, max_window_bytes, max_ratio
        self.storage_options = storage_options

    def files(self) -> list[InputFile]:
        return find_files(self.paths, self.name, self.storage_options, self.key)

    def blocks(self, file: InputFile, partition_bytes: int) -> Iterator[Block]:
        pieces = text_pieces(file, self.max_window_bytes, self.max_ratio)
        cutter = CsvCutter(file, pieces, self.delimiter.encode())
        header = cutter.one(self.max_doc_bytes)
        if header is None:
            return
        columns = self._columns(header, file)
        row = 0
        for run in cutter.runs(partition_bytes, self.max_doc_bytes):
            data = packed({"columns": columns, "line": run.line, "is_whole": run.is_whole}, [run.data])
            yield Block(row, run.offset_bytes, run.read_bytes, data, unchecked_bytes=run.unchecked_bytes)
            row += run.records

    def parse(self, block: Block, file: InputFile, file_number: int) -> Parsed:
        facts, data = unpacked(block.data)
        whole = bytes(data)
        columns: list[str] = facts["columns"]
        documents = _Documents(file, columns, self.text_key, self.id_key)
        quarantined: list[Quarantined] = []
        scanned = scan_records(whole, self.delimiter.encode()) if facts["is_whole"] else _one_record(len(whole))
        line = facts["line"]
        is_text = _is_utf8(whole)
        for number, record in enumerate(scanned.records.tolist()):
            start, stop = record[START], record[STOP]
            reason = self._refusal(record, len(columns), is_text or _is_utf8(whole[start:stop]))
            if reason and stop == len(whole):  # no line end: the last record of the file
                reason = _at_end(reason, record[NUM_FIELDS] < len(columns), whole[start:stop])
            if reason:
                bad = evidence(whole[start:stop], reason)
                quarantined.append(Quarantined(block.first_row + number, block.offset_bytes + start, reason, bad, line))
            elif start < stop:
                documents.add(block.first_row + number, _fields(whole, scanned, record))
            line += record[LINES]
        batch = documents.batch(file_number)
        return Parsed(batch, quarantined, batch.num_rows + len(quarantined))

    def _columns(self, header: Run, file: InputFile) -> list[str]:
        """Return the names of the columns."""
        _refuse_json_lines(header.data, file)
        scanned = scan_records(header.data, self.delimiter.encode())
        record = scanned.records[0].tolist()
        if record[IS_BROKEN]:
            raise InputError(f"{file.where}: its first line, the header, has something after a closing quote; mend it")
        try:
            names = [name.decode() for name in _fields(header.data, scanned, record)]
        except UnicodeDecodeError as error:
            encoding = encoding_of(header.data)
            raise InputError(
                f"{file.where}: its header is no UTF-8 ({error}); convert it: iconv -f {encoding} -t UTF-8 FILE > NEW"
            ) from error
        twice = sorted({name for name in names if names.count(name) > 1})
        if self.text_key not in names:
            raise no_text_column(file, self.text_key, names, self, _other_delimiter(names, self.key))
        if twice:
            raise InputError(f"{file.where}: its header has the column {twice[0]!r} twice; rename one")
        check_id_column(file, self.id_key, names, self)
        return names

    def _refusal(self, record: list[int], num_columns: int, is_text: bool) -> str | None:
        """Return why a record can't be taken, or None."""
        if record[STOP] - record[START] > self.max_doc_bytes:
            return TOO_LONG
        if record[IS_BROKEN]:
            return "csv_quote"
        if record[NUM_FIELDS] != num_columns and record[START] < record[STOP]:
            return "ragged"
        return None if is_text else "utf8"


class _Documents:
    """The documents of a block, one after the other."""

    def __init__(self, file: InputFile, columns: list[str], text_key: str, id_key: str) -> None:
        self._file_name = file.name
        self._text = columns.index(text_key)
        self._id = columns.index(id_key) if id_key in columns else None
        self._id_key = id_key
        self._others = [(place, name) for place, name in enumerate(columns) if name not in (text_key, id_key)]
        self._rows: list[int] = []
        self._ids: list[bytes] = []
        self._texts: list[bytes] = []
        self._metadata: list[bytes] = []

    def add(self, row: int, fields: list[bytes]) -> None:
        given = fields[self._id] if self._id is not None else b""
        record = {name: fields[place].decode() for place, name in self._others}
        self._rows.append(row)
        self._ids.append(given or f"{self._file_name}#{row}".encode())
        self._texts.append(fields[self._text])
        self._metadata.append(orjson.dumps(record) if record else NO_METADATA)

    def batch(self, file_number: int) -> pa.RecordBatch:
        return document_batch(file_number, self._rows, self._ids, self._texts, self._metadata)


def _refuse_json_lines(header: bytes, file: InputFile) -> None:
    """Refuse a file whose first line is an object of JSON."""
    line = header.partition(b"\n")[0].strip()
    with contextlib.suppress(orjson.JSONDecodeError):
        if line.startswith(b"{") and orjson.loads(line):
            shown = one_line(line.decode(), HEAD_CHARS)
            raise InputError(
                f"{file.where}: begins with {shown}, so it is JSON lines; type corpus=jsonl, or leave it out"
            )


def _other_delimiter(names: list[str], key: str) -> str:
    """Return the advice to set another delimiter, where the header is one column with such a character in it."""
    found = [typed for typed, meant in OTHER_DELIMITERS.items() if meant in names[0]] if len(names) == 1 else []
    return f", or {key}.delimiter to '{found[0]}', which is in it" if found else ""


def _fields(data: bytes, scanned: Scanned, record: list[int]) -> list[bytes]:
    first = record[FIRST_FIELD]
    places = scanned.fields[first : first + record[NUM_FIELDS]].tolist()
    return [
        data[place[FIELD_START] : place[FIELD_STOP]].replace(b'""', b'"')
        if place[HAS_QUOTES]
        else data[place[FIELD_START] : place[FIELD_STOP]]
        for place in places
    ]


def _one_record(size: int) -> Scanned:
    records = np.zeros((1, 6), dtype=np.int64)
    records[0, STOP] = size
    return Scanned(records, np.zeros((0, 3), dtype=np.int64))


def _at_end(reason: str, lacks_fields: bool, record: bytes) -> str:
    """Return why a record that ends its file can't be taken: it may have been cut."""
    if reason == "ragged" and lacks_fields:
        return "csv_eof"
    return "utf8_eof" if reason == "utf8" and ends_inside_a_character(record) else reason


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
