"""Arrow IPC files and streams: a row is a document, its text one column, its metadata the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa

from data_pipeline.sources.arrow_messages import (
    BATCH,
    DICTIONARY,
    END_OF_STREAM,
    SCHEMA,
    Message,
    MessageError,
    TooLarge,
    read_messages,
)
from data_pipeline.sources.columnar import (
    Growing,
    Keys,
    check_columns,
    packed,
    parsed_columns,
    too_much,
    unpacked,
)
from data_pipeline.sources.source import Block, InputFile, Parsed, Source
from data_pipeline.sources.tables import Tables
from foundation.errors import InputError

DAMAGED = "fetch the file again, or leave it out"
# A text type -> the same bytes without the promise to be UTF-8, and a view -> what can be cut
_AS_BYTES = {
    pa.string(): pa.binary(),
    pa.large_string(): pa.large_binary(),
    pa.string_view(): pa.binary_view(),
}
_WHOLE = {pa.string_view(): pa.large_binary(), pa.binary_view(): pa.large_binary()}


class Arrow(Tables):
    """Arrow IPC files (Feather 2) and streams (the .arrow files of Hugging Face's datasets), lz4, zstd or plain.

    A document's row is its place in the file, from 0. Its id is the id column's value where that is a text or an
    integer, else `<file name>#<row>`. A text may be string or bytes, plain or in a dictionary. Quarantined are a text
    that is null (`text_type`), one that is no UTF-8, or whose row holds another that is none (`utf8`), and one above
    `max_doc_bytes` (`too_long`).

    A block is a small stream: the schema, the dictionaries and one record batch, bytes as they stand in the file. Only
    a batch that unpacks to more than a partition is unpacked by the parent, which cuts it in halves until they fit.

    The format has no checksums: of a flipped bit only what breaks the structure is noticed. A stream must end with the
    mark that ends streams, though the format allows it to be missing: without it, a cut one can't be told.

    Args:
        paths: files or glob patterns, relative to the working folder; or addresses (s3://, gs://, http://, https://).
        source: names the source's shards.
        text_key: the column of the text.
        id_key: the column of the document's id, where there is one.
        weight: share of the training mixture, relative to the other sources'.
        budget: what a training run reads of it in place of the weight: {"tokens": n} or {"epochs": n}.
        tags: fields that are added to the metadata of its documents, e.g. {"domain": "law"}; a record's own stays.
        max_doc_bytes: a longer text is quarantined as `too_long`.
        max_block_bytes: the most that a record batch may unpack to, its dictionaries included; bounds memory.
        storage_options: by protocol of `paths`, arguments of its fsspec file system, e.g. {"s3": {"anon": true}}; keys
            and passwords come from the environment alone.
    Raises:
        SettingError: a value that can't work.
    """

    def blocks(self, file: InputFile, partition_bytes: int) -> Iterator[Block]:
        before = _Before(self._keys, file, self)
        row, number = 0, 0
        try:
            with file.open() as stream:
                for message in read_messages(stream, self.max_block_bytes):
                    if message.kind != BATCH:
                        before.add(message)
                        continue
                    for rows, block in before.cut(message, number, row, self._keys.cut_bytes(partition_bytes)):
                        yield replace(block, unchecked_bytes=block.read_bytes)
                        row += rows
                    number += 1
                before.check_used()
        except MessageError as error:
            raise InputError(f"{file.where}: {error}; {DAMAGED}") from error
        except TooLarge as error:
            what = f"record batch {number}"
            raise too_much(file, what, error.num_bytes, self.max_block_bytes) from error

    def parse(self, block: Block, file: InputFile, file_number: int) -> Parsed:
        facts, data = unpacked(block.data)
        what = f"record batch {facts['batch']}"
        growing = Growing(file, what, self.max_block_bytes)
        growing.add(block.unpacked_bytes)
        batch = _checked_batch(data, what, file)
        columns = {
            name: pa.chunked_array([column]) for name, column in zip(batch.schema.names, batch.columns, strict=True)
        }
        return parsed_columns(columns, block.first_row, file, file_number, self._keys, growing)


class _Before:
    """What a record batch needs that comes before it: the schema and the dictionaries as they are then."""

    def __init__(self, keys: Keys, file: InputFile, source: Source) -> None:
        self._keys, self._file, self._source = keys, file, source
        self._schema: Message | None = None
        self._dictionaries: dict[int, list[Message]] = {}
        self._unused: int | None = None  # where the last dictionary begins that no batch has followed

    def add(self, message: Message) -> None:
        if message.kind == SCHEMA:
            if self._schema is not None:
                raise MessageError(f"has a second schema at byte {message.offset:,}")
            self._schema = message
            check_columns(_schema(message), self._keys, self._file, self._source)
        elif message.kind == DICTIONARY:
            self.check()
            earlier = self._dictionaries.pop(message.dictionary, []) if message.is_delta else []
            self._dictionaries.pop(message.dictionary, None)
            self._dictionaries[message.dictionary] = [*earlier, message]
            self._unused = message.offset

    def check(self) -> None:
        """Refuse a file that doesn't begin with its schema."""
        if self._schema is None:
            raise MessageError("has no schema")

    def check_used(self) -> None:
        """Refuse a file that ends with a dictionary: no writer has one for no batch, but a flipped bit has."""
        self.check()
        if self._unused is not None:
            raise MessageError(f"is damaged: no record batch follows the dictionary at byte {self._unused:,}")

    def cut(self, message: Message, number: int, first_row: int, partition_bytes: int) -> Iterator[tuple[int, Block]]:
        """Yield the blocks of a batch, each with the number of its rows."""
        self.check()
        assert self._schema is not None
        self._unused = None
        dictionaries = [each for chain in self._dictionaries.values() for each in chain]
        own_bytes = message.unpacked_bytes
        others = sum(each.unpacked_bytes for each in dictionaries)
        if own_bytes + others > self._keys.max_block_bytes:
            raise TooLarge(own_bytes + others)
        pieces = [each.data for each in (self._schema, *dictionaries, message)] + [END_OF_STREAM]
        facts = {"batch": number}
        if own_bytes <= partition_bytes or message.num_rows < 2:
            data = packed(facts, pieces)
            yield message.num_rows, Block(first_row, message.offset, message.stop, data, own_bytes + others)
            return
        batch = _checked_batch(memoryview(b"".join(pieces)), f"record batch {number}", self._file)
        size = message.stop - message.offset
        done = 0
        for part in _halved(_cuttable(batch), partition_bytes):
            done += part.num_rows
            read_bytes = message.offset + size * done // message.num_rows
            data = packed(facts, [_stream(part)])
            row = first_row + done - part.num_rows
            yield part.num_rows, Block(row, message.offset, read_bytes, data, _own_bytes(part) + others)


def _schema(message: Message) -> pa.Schema:
    try:
        schema = pa.ipc.read_schema(pa.BufferReader(message.data))
        _ = schema.names  # decoded here: one may be no UTF-8
        return schema
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise MessageError(f"has a schema that can't be read ({error})") from error


def _checked_batch(data: memoryview, what: str, file: InputFile) -> pa.RecordBatch:
    """Return the batch of a small stream after a look at every offset in it: a wrong one would lead anywhere.

    Raises:
        InputError: it is damaged.
    """
    try:
        batch = pa.ipc.open_stream(pa.BufferReader(data)).read_next_batch()
        batch.validate()
        for column in batch.columns:
            _as_bytes(column).validate(full=True)
    except (pa.ArrowException, OSError, StopIteration) as error:
        raise InputError(f"{file.where}: damaged in {what} ({error}); {DAMAGED}") from error
    return batch


def _as_bytes(column: pa.Array) -> pa.Array:
    """Return a column of texts as bytes: one that is no UTF-8 goes to quarantine and is no damage."""
    if pa.types.is_dictionary(column.type):
        return pa.DictionaryArray.from_arrays(column.indices, _as_bytes(column.dictionary), safe=False)
    kind = _AS_BYTES.get(column.type)
    return column if kind is None else column.view(kind)


def _cuttable(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the batch without views, of which each part would be written with all of the texts."""
    columns = [column.cast(_WHOLE.get(column.type, column.type)) for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _halved(batch: pa.RecordBatch, most_bytes: int) -> Iterator[pa.RecordBatch]:
    if batch.num_rows == 1 or _own_bytes(batch) <= most_bytes:
        yield batch
        return
    half = batch.num_rows // 2
    yield from _halved(batch.slice(0, half), most_bytes)
    yield from _halved(batch.slice(half), most_bytes)


def _own_bytes(batch: pa.RecordBatch) -> int:
    """Return the bytes of a batch without its dictionaries."""
    return sum(
        column.indices.nbytes if pa.types.is_dictionary(column.type) else column.nbytes for column in batch.columns
    )


def _stream(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(memoryview(sink.getvalue()))
