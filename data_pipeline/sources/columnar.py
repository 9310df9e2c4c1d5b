"""What the sources of tables share: the columns' types, rows into documents, the limit on what a block unpacks to.

A block of such a source holds a part of the file that stands for itself, packed as it lies there: a small file of the
same format. So its hash stands for the content, the parent process moves bytes and unpacks none, and a worker needs
the block alone, wherever the file lies. Its own few facts stand before it, as a line of JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline.documents import SCHEMA, Quarantined
from data_pipeline.sources.batches import NO_METADATA, large_strings
from data_pipeline.sources.json_values import NoText, json_of, values_of
from data_pipeline.sources.key_search import shown, warn_without_id
from data_pipeline.sources.records import TOO_LONG, evidence
from data_pipeline.sources.source import InputFile, Parsed, Source
from foundation.errors import InputError, nearest, require

MAX_BLOCK_BYTES = 1 << 30  # twice this is a worker's memory at worst
TEXT_TYPE, NO_UTF8 = "text_type", "utf8"

_TEXTS = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_binary_view,
    pa.types.is_fixed_size_binary,
    pa.types.is_null,
)


@dataclass(frozen=True, slots=True)
class Keys:
    """Which columns a source reads for what, and its limits.

    Attributes:
        text, id: columns; the others are metadata.
        max_doc_bytes: of a text.
        max_block_bytes: of what a block unpacks to.
    """

    text: str
    id: str
    max_doc_bytes: int
    max_block_bytes: int

    def __post_init__(self) -> None:
        require(self.text != self.id, "id_key", self.id, "the column of each document's id, which is not text_key's")
        require(
            1 <= self.max_doc_bytes < 2**31,
            "max_doc_bytes",
            self.max_doc_bytes,
            "1 byte to below 2^31, places in a text are 32 bits",
        )
        require(self.max_block_bytes >= 1 << 20, "max_block_bytes", self.max_block_bytes, "1048576 (1 MiB) or more")

    def cut_bytes(self, partition_bytes: int) -> int:
        """Return what a block may unpack to before it is cut: where partitions are larger than blocks may be, less."""
        return min(partition_bytes, self.max_block_bytes // 2)


def check_columns(schema: pa.Schema, keys: Keys, file: InputFile, source: Source) -> None:
    """Check that a file has the column of the text, that it can hold text, and that no name stands twice; warn where
    it lacks a column of the ids that somebody named.

    Raises:
        InputError: names the file and the column.
    """
    for name in schema.names:
        if schema.names.count(name) > 1:
            raise InputError(f"{file.where}: has two columns {name!r}; rename one, or leave the file out")
    if keys.text not in schema.names:
        raise no_text_column(file, keys.text, schema.names, source)
    kind = _plain_type(schema.field(keys.text).type)
    if not any(test(kind) for test in _TEXTS):
        raise InputError(
            f"{file.where}: column {keys.text!r} ({source.key}.text_key) holds {kind}, no text; set the source's "
            f"text_key to the one that holds the text; columns seen: {shown(schema.names)}"
        )
    check_id_column(file, keys.id, schema.names, source)


def check_id_column(file: InputFile, id_key: str, names: list[str], source: Source) -> None:
    """Warn where a file lacks the column of the ids, and somebody named it."""
    if id_key not in names:
        warn_without_id(source, id_key, file, "has no column", names)


def no_text_column(file: InputFile, text_key: str, names: list[str], source: Source, hint: str = "") -> InputError:
    """Return the error of a file without the column of the text.

    Args:
        names: the columns that it has.
        hint: what else may be wrong, a clause that ends the message.
    """
    return InputError(
        f"{file.where}: has no column {text_key!r} ({source.key}.text_key); columns seen: {shown(names)}"
        f"{nearest(text_key, names)}; set the source's text_key to the one that holds the text{hint}"
    )


def too_much(file: InputFile, what: str, unpacked_bytes: int, most: int) -> InputError:
    """Return the error of a block that unpacks to more than the limit.

    Args:
        what: it is, e.g. `row group 3`.
    """
    return InputError(
        f"{file.where}: {what} unpacks to {unpacked_bytes:,} bytes or more, above the {most:,} that a block may take "
        "(corpus.max_block_bytes); raise it where memory allows (a worker may take twice as much), or write the file "
        "again in smaller pieces"
    )


def packed(facts: dict[str, Any], pieces: Iterable[bytes]) -> bytes:
    """Return a block's data: its facts and the small file, or files, that it holds."""
    return b"".join([orjson.dumps(facts, option=orjson.OPT_APPEND_NEWLINE), *pieces])


def unpacked(data: bytes) -> tuple[dict[str, Any], memoryview]:
    """Return what `packed` was given, the pieces as one."""
    end = data.index(b"\n")
    return orjson.loads(data[:end]), memoryview(data)[end + 1 :]


class Growing:
    """Adds up what a block unpacks to, and stops at the limit."""

    def __init__(self, file: InputFile, what: str, most: int) -> None:
        self._file, self._what, self._most = file, what, most
        self._bytes = 0

    def add(self, num_bytes: int) -> None:
        """Count bytes.

        Raises:
            InputError: they are too many.
        """
        self._bytes += num_bytes
        if self._bytes > self._most:
            raise too_much(self._file, self._what, self._bytes, self._most)


def parsed_columns(
    columns: dict[str, pa.ChunkedArray], first_row: int, file: InputFile, file_number: int, keys: Keys, growing: Growing
) -> Parsed:
    """Return the documents of a run of rows.

    Args:
        columns: by name, in the file's order, all of one length.
        first_row: of the file.
        growing: what counts the bytes that they unpack to; the columns as they are given are counted already.
    """
    texts = _texts(columns[keys.text], growing)
    reasons = _refusals(texts, keys.max_doc_bytes)
    ids, metadata = _others(columns, len(texts), keys, growing, reasons)
    rows = np.arange(first_row, first_row + len(texts), dtype=np.int64)
    quarantined = [_quarantined(first_row + row, texts[row].as_py(), reasons[row]) for row in sorted(reasons)]
    if reasons:
        stays = np.ones(len(texts), dtype=bool)
        stays[list(reasons)] = False
        texts, rows = texts.filter(pa.array(stays)), rows[stays]
        ids = [each for each, good in zip(ids, stays, strict=True) if good]
        metadata = [each for each, good in zip(metadata, stays, strict=True) if good]
    ids = [given or f"{file.name}#{row}".encode() for given, row in zip(ids, rows.tolist(), strict=True)]
    arrays = [
        pa.array(np.full(len(rows), file_number, dtype=np.int32)),
        pa.array(rows),
        large_strings(ids),
        texts.cast(pa.large_string()),
        large_strings(metadata),
    ]
    documents = pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)
    return Parsed(documents, quarantined, documents.num_rows + len(quarantined))


def _plain_type(kind: pa.DataType) -> pa.DataType:
    """Return a type without the dictionary, the runs or the extension around it."""
    while True:
        if isinstance(kind, pa.BaseExtensionType):
            kind = kind.storage_type
        elif pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
            kind = kind.value_type
        else:
            return kind


def _texts(column: pa.ChunkedArray, growing: Growing) -> pa.LargeBinaryArray:
    chunks = [_bytes_of(chunk, growing) for chunk in column.chunks]
    found = pa.chunked_array(chunks, pa.large_binary()).combine_chunks()
    return found if isinstance(found, pa.Array) else pa.array([], pa.large_binary())


def _bytes_of(array: pa.Array, growing: Growing) -> pa.LargeBinaryArray:
    """Return the bytes of texts of any type; of a dictionary's only after their sizes are counted."""
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return _bytes_of(array.storage, growing)
    if pa.types.is_run_end_encoded(kind):
        indices = pc.run_end_decode(pa.RunEndEncodedArray.from_arrays(array.run_ends, np.arange(len(array.values))))
        return _looked_up(array.values, indices, growing)
    if pa.types.is_dictionary(kind):
        return _looked_up(array.dictionary, array.indices, growing)
    if pa.types.is_null(kind):
        return pa.nulls(len(array), pa.large_binary())
    return array.cast(pa.large_binary())


def _looked_up(values: pa.Array, indices: pa.Array, growing: Growing) -> pa.LargeBinaryArray:
    words = _bytes_of(values, growing)
    growing.add(pc.sum(pc.binary_length(words).take(indices)).as_py() or 0)
    return words.take(indices)


def _refusals(texts: pa.LargeBinaryArray, max_doc_bytes: int) -> dict[int, str]:
    """Return why rows can't be taken, by row."""
    reasons = dict.fromkeys(_places(texts.is_null()), TEXT_TYPE) if texts.null_count else {}
    reasons |= dict.fromkeys(_places(pc.greater(pc.binary_length(texts), max_doc_bytes)), TOO_LONG)
    try:
        texts.cast(pa.large_string())
    except pa.ArrowInvalid:
        reasons = {row: NO_UTF8 for row, text in enumerate(texts) if not _is_utf8(text.as_py())} | reasons
    return reasons


def _places(mask: pa.BooleanArray) -> Iterator[int]:
    return iter(pc.indices_nonzero(mask).to_pylist())


def _is_utf8(text: bytes | None) -> bool:
    try:
        (text or b"").decode()
    except UnicodeDecodeError:
        return False
    return True


def _others(
    columns: dict[str, pa.ChunkedArray], num_rows: int, keys: Keys, growing: Growing, reasons: dict[int, str]
) -> tuple[list[bytes], list[bytes]]:
    """Return ids (empty where there is none that serves) and metadata; adds to `reasons` the rows that are no UTF-8."""
    others = [name for name in columns if name != keys.text]
    if not others:
        return [b""] * num_rows, [NO_METADATA] * num_rows
    values = [[value for chunk in columns[name].chunks for value in values_of(chunk)] for name in others]
    ids: list[bytes] = []
    metadata: list[bytes] = []
    for row, fields in enumerate(zip(*values, strict=True)):
        record = dict(zip(others, fields, strict=True))
        given = _as_id(record.get(keys.id))
        if given:
            del record[keys.id]
        try:
            written = json_of(record) if record else NO_METADATA
        except NoText:
            reasons.setdefault(row, NO_UTF8)
            written = NO_METADATA
        growing.add(len(written))
        ids.append(given)
        metadata.append(written)
    return ids, metadata


def _as_id(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value if _is_utf8(value) else b""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return b""
    return str(value).encode()


def _quarantined(row: int, text: bytes | None, reason: str) -> Quarantined:
    return Quarantined(row, None, reason, b"null" if text is None else evidence(text, reason))
