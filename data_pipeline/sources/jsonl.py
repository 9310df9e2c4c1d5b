"""JSON lines: one object per line, its text under one key, plain or compressed.

A line that can't be taken as it stands is quarantined under one of these reasons: `json` (no JSON, or two objects),
`json_eof` (a last line without newline that ends too early: the file was cut), `utf8`, `surrogate` (half of a
surrogate pair), `depth`, `number` (beyond the range of a double), `not_object`, `missing_text`, `text_type`, `dup_key`,
`too_long`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import orjson

from data_pipeline.documents import Quarantined
from data_pipeline.sources.batches import NO_METADATA, document_batch
from data_pipeline.sources.decompress import MAX_RATIO
from data_pipeline.sources.inputs import check_paths, check_source, find_files
from data_pipeline.sources.json_scan import lossy_lines, scan_lines
from data_pipeline.sources.key_search import KEYS_SHOWN, KeySearch, warn_without_id, without_text
from data_pipeline.sources.records import (
    MAX_DOC_BYTES,
    MAX_WINDOW_BYTES,
    TOO_LONG,
    check_limits,
    cut_records,
    ends_inside_a_character,
    evidence,
    text_pieces,
)
from data_pipeline.sources.source import Block, InputFile, Parsed, Source
from foundation.errors import InputError, require
from foundation.text import one_line


class Jsonl(Source):
    """JSON lines (.jsonl, .jsonl.gz, .jsonl.zst; magic bytes decide).

    A document's row is its line's number, from 0, blank lines included. Its id is the record's own where that is a
    string or an integer, else `<file name>#<row>`. The record's other fields are its metadata, in their order; a number
    that a double would change is kept digit by digit.

    There is one way to parse, not a fast one beside a careful one that must agree. Measured on one core with pages of
    15 kB (orjson 3.13.0, pyarrow 26.0.1): orjson into Arrow 600 MB/s, with the checks of `json_scan` 320; pyarrow.json
    for text and id beside orjson for the metadata 370, without those checks.

    Args:
        paths: files or glob patterns, relative to the working folder; or addresses (s3://, gs://, http://, https://).
        source: names the source's shards.
        text_key: the key of the text.
        id_key: the key of the document's id, where it has one.
        weight: share of the training mixture, relative to the other sources'.
        budget: what a training run reads of it in place of the weight: {"tokens": n} or {"epochs": n}.
        tags: fields that are added to the metadata of its documents, e.g. {"domain": "law"}; a record's own stays.
        max_doc_bytes: a longer line is quarantined as `too_long`; bounds memory.
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
        source: str = "jsonl",
        text_key: str = "text",
        id_key: str = "id",
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
        require(text_key != id_key, "id_key", id_key, "the key of each document's id, which is not text_key's")
        self.name, self.weight, self.budget, self.tags = source, weight, budget, tags
        self.paths, self.text_key, self.id_key = paths, text_key, id_key
        self.max_doc_bytes, self.max_window_bytes, self.max_ratio = max_doc_bytes, max_window_bytes, max_ratio
        self.storage_options = storage_options

    def files(self) -> list[InputFile]:
        return find_files(self.paths, self.name, self.storage_options, self.key)

    def blocks(self, file: InputFile, partition_bytes: int) -> Iterator[Block]:
        pieces = text_pieces(file, self.max_window_bytes, self.max_ratio)
        texts, ids = KeySearch(self.text_key), KeySearch(self.id_key)
        for block in cut_records(pieces, b"\n", partition_bytes, self.max_doc_bytes):
            if texts.look(block.data):
                raise without_text(texts, file, self)
            if ids.look(block.data):
                self._warn(ids, file)
            yield block
        if texts.ends_without():
            raise without_text(texts, file, self)
        if ids.ends_without():
            self._warn(ids, file)

    def parse(self, block: Block, file: InputFile, file_number: int) -> Parsed:
        rows: list[int] = []
        ids: list[bytes] = []
        texts: list[bytes] = []
        metadata: list[bytes] = []
        quarantined: list[Quarantined] = []
        lines = scan_lines(block.data)
        lossy = lossy_lines(block.data, lines)
        columns = lines.T.tolist()  # lists of numbers: a list a line would keep the garbage collector busy
        for number, (start, stop, top_keys, nested_keys, _) in enumerate(zip(*columns, strict=True)):
            line, row = block.data[start:stop], block.first_row + number
            try:
                record = self._record(line, top_keys, nested_keys, number in lossy)
                text, given_id, rest = self._fields(record)
            except _Blank:
                continue
            except _Refused as refused:
                at_end = stop == len(block.data)  # no newline: the last line of the file
                reason = "json_eof" if at_end and _is_cut(line, refused.reason) else refused.reason
                quarantined.append(
                    Quarantined(row, block.offset_bytes + start, reason, evidence(line, reason), row + 1)
                )
                continue
            rows.append(row)
            ids.append(given_id or f"{file.name}#{row}".encode())
            texts.append(text)
            metadata.append(rest)
        documents = document_batch(file_number, rows, ids, texts, metadata)
        return Parsed(documents, quarantined, len(rows) + len(quarantined))

    def advice(self) -> str:
        """Return what the first record of all holds: the text may stand under another key."""
        with contextlib.suppress(InputError, orjson.JSONDecodeError, StopIteration):
            file = self.files()[0]
            record = orjson.loads(next(self.blocks(file, 1)).data)
            if isinstance(record, dict):
                shown = ", ".join(_with_length(*field) for field in list(record.items())[:KEYS_SHOWN])
                return (
                    f"; or set the source's text_key ({self.key}.text_key=) where another field than {self.text_key!r} "
                    f"holds the text: the first record of {file.name} has {shown}"
                )
        return ""

    def _warn(self, ids: KeySearch, file: InputFile) -> None:
        warn_without_id(self, self.id_key, file, f"{ids.none_has()} the key", ids.keys)

    def _record(self, line: bytes, top_keys: int, nested_keys: int, is_lossy: bool) -> dict[str, Any]:
        """Return a line's object, nothing of it lost; the arguments are what `json_scan` says of the line."""
        if len(line) > self.max_doc_bytes:
            raise _Refused(TOO_LONG)
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            if not line.strip():
                raise _Blank from None
            raise _Refused(_why(error, line)) from None
        if not isinstance(record, dict):
            raise _Refused("not_object")
        if len(record) != top_keys or (nested_keys and _count_keys(record) != top_keys + nested_keys):
            raise _Refused("dup_key")
        if is_lossy:  # again, every number as it is written; what is too deep to write is too deep for json.loads
            _as_json(record)
            exact: dict[str, Any] = json.loads(line, parse_int=orjson.Fragment, parse_float=orjson.Fragment)
            return exact
        return record

    def _fields(self, record: dict[str, Any]) -> tuple[bytes, bytes, bytes]:
        """Return text, id (empty where the record has none that serves) and the other fields as JSON."""
        if self.text_key not in record:
            raise _Refused("missing_text")
        text = record.pop(self.text_key)
        if not isinstance(text, str):
            raise _Refused("text_type")
        given_id = _as_id(record.get(self.id_key))
        if given_id:
            del record[self.id_key]
        return text.encode(), given_id, _as_json(record) if record else NO_METADATA


class _Blank(Exception):
    """A line with nothing but white space: no record."""


class _Refused(Exception):
    """A record that goes to quarantine."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


def _is_cut(line: bytes, reason: str) -> bool:
    """Return whether a refused line, which ends its file without a newline, may have been cut there."""
    return reason == "json" or (reason == "utf8" and ends_inside_a_character(line))


def _with_length(key: str, value: Any) -> str:
    return f"{one_line(key, 40)!r}" + (f" ({len(value):,} characters)" if isinstance(value, str) else "")


def _why(error: orjson.JSONDecodeError, line: bytes) -> str:
    """Return the quarantine reason of a line that orjson refused."""
    try:
        line.decode()
    except UnicodeDecodeError:
        return "utf8"
    message = str(error)
    for word, reason in (("surrogate", "surrogate"), ("depth", "depth"), ("infinity", "number")):
        if word in message:
            return reason
    return "json"


def _count_keys(value: dict[str, Any]) -> int:
    """Return the number of keys of all objects in a parsed value."""
    count = 0
    waiting: list[Any] = [value]
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, dict):
            count += len(inner)
            inner = inner.values()
        waiting.extend(each for each in inner if isinstance(each, dict | list))
    return count


def _as_json(record: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(record)
    except orjson.JSONEncodeError:  # orjson reads 1,024 levels and writes 254
        raise _Refused("depth") from None


def _as_id(value: Any) -> bytes:
    """Return a string or an integer as an id, else nothing."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bool):
        return b""
    if isinstance(value, int):
        return str(value).encode()
    if isinstance(value, orjson.Fragment):
        digits = orjson.dumps(value)
        return digits if digits.lstrip(b"-").isdigit() else b""
    return b""
