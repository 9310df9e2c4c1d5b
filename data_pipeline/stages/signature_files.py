"""Files of stored signatures: found, looked at before any work, and laid out so that single rows can be read.

Two kinds, both parquet (nothing is unpickled):
- of this pipeline, with `signatures.METADATA`: a row is found again by the hash of a document's words;
- the user's own tables, with `id` (text) and `signature` (num_perm values of uint32, e.g. `LeanMinHash.hashvalues`): a
  row is found by the document's id, and nothing but a comparison says how it was made and of what text.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from data_pipeline.dedup.signing import SignaturesError, Signing
from data_pipeline.documents import utf8_buffers
from data_pipeline.records import Part
from data_pipeline.sources.inputs import matching_files
from data_pipeline.sources.source import InputChanged, InputFile
from data_pipeline.stages.signatures import HASH_BYTES, ID, SIGNATURE, WORDS_HASH, metadata_of
from data_pipeline.storage import room_for
from foundation.errors import ConfigError
from foundation.files import replacing
from foundation.hashes import hash_json

BLOCK_ROWS = 1 << 14  # read at a time: 8 MiB of 128 values
BLOCK_BYTES, FIRST_ROWS = 1 << 16, 64  # read of a file that is only looked at
_UNREADABLE = (pa.ArrowException, OSError)


@dataclass(frozen=True, slots=True)
class SignatureFile:
    """A file of stored signatures.

    Attributes:
        number: of the file; names what is made of it.
        by_words: whether it says of which words each signature is; else by id.
        has_metadata: whether it says how they were made.
    """

    number: int
    path: Path
    by_words: bool
    has_metadata: bool

    @property
    def key_column(self) -> str:
        """The column that says what rows are found by."""
        return WORDS_HASH if self.by_words else ID

    @property
    def name(self) -> str:
        """Name of the part that lays it out."""
        return f"stored-{self.number:05d}"

    def keys(self, column: pa.Array) -> np.ndarray:
        """Return what rows are found by, (n, 2) uint64, of the column that says it."""
        if not self.by_words:
            return id_keys(column)
        hashes = np.frombuffer(column.buffers()[1], np.uint64).reshape(-1, 2)
        return hashes[column.offset : column.offset + len(column)]


def id_keys(ids: pa.Array) -> np.ndarray:
    """Return the keys of documents' ids, (n, 2) uint64: 128 bits of hash, so that no two ids are taken for one."""
    data, offsets = utf8_buffers(ids.cast(pa.large_string()))
    text = data.tobytes()
    borders = offsets.tolist()
    digests = [xxhash.xxh3_128_digest(text[a:b], seed=1) for a, b in pairwise(borders)]
    return np.frombuffer(b"".join(digests), np.uint64).reshape(-1, 2)


def signature_paths(patterns: tuple[str, ...], output_dir: Path) -> list[Path]:
    """Return the files that patterns name, sorted, each once.

    Raises:
        InputError: a pattern matches nothing, or what can't be read.
        ConfigError: a file lies in the output folder.
    """
    found = {path for each in patterns for path in matching_files(each, f"dedup.signatures: {each!r}")}
    for path in found:
        if output_dir.resolve() in path.resolve().parents:
            raise ConfigError(
                f"dedup.signatures: {path} lies in the output folder, whose files change with the run; what a run has "
                "measured it takes again by itself: leave the file out, or copy it to another folder"
            )
    return sorted(found)


def path_state(path: Path) -> list[int]:
    """Return what changes when a file does, without reading it."""
    return InputFile(path.name, path, 0).state()


def look_at(path: Path, number: int, signing: Signing) -> SignatureFile:
    """Return a file that can be used as far as its schema, its metadata and its first rows say.

    Raises:
        SignaturesError: it can't; says what was found, what is expected and what to do.
    """
    try:
        schema = pq.read_schema(path)
        metadata = metadata_of(schema)
    except (*_UNREADABLE, orjson.JSONDecodeError) as error:
        raise SignaturesError(
            f"dedup.signatures: {path}: it can't be read as a parquet file of signatures ({error}); only parquet is "
            "read: restore it, or write a table with the columns id and signature"
        ) from error
    if metadata is not None:
        signing.check(metadata, str(path))
    by_words = metadata is not None and WORDS_HASH in schema.names
    types = {name: schema.field(name).type for name in schema.names if schema.names.count(name) == 1}
    if by_words:
        is_hash = types.get(WORDS_HASH) == pa.binary(HASH_BYTES)
        _check_type(path, schema, WORDS_HASH, is_hash, "16 bytes each, as it was written: restore the file")
    else:
        is_text = types.get(ID) in (pa.string(), pa.large_string())
        _check_type(path, schema, ID, is_text, "the documents' ids as text: write it so, or leave the file out")
    allowed = (
        f"a list of {signing.num_perm} uint32 (dedup.num_perm={signing.num_perm}), LeanMinHash.hashvalues as "
        "pyarrow.list_(pyarrow.uint32(), num_perm). Values of 64 bits are of datasketch's schemes legacy and affine64, "
        "which can't be compared with affine32: leave the file out, its texts are signed anew"
    )
    _check_type(path, schema, SIGNATURE, _is_signature(types.get(SIGNATURE), signing.num_perm), allowed)
    file = SignatureFile(number, path, by_words, metadata is not None)
    with pq.ParquetFile(path, buffer_size=BLOCK_BYTES) as parquet:  # of a column, not all a row group has of it
        for row, batch in _telling(file, parquet):
            _check_rows(file, batch, row, signing.num_perm)
    return file


def _telling(file: SignatureFile, parquet: pq.ParquetFile) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield the first rows, and those of row groups where a value is missing by what the footer counts: the first row
    of each run, and the run."""
    columns, row = [file.key_column, SIGNATURE], 0
    try:
        for batch in itertools.islice(parquet.iter_batches(FIRST_ROWS, columns=columns), 1):
            yield 0, batch
        for group in range(parquet.num_row_groups):
            footer = parquet.metadata.row_group(group)
            parts = [footer.column(place) for place in range(footer.num_columns)]
            statistics = [part.statistics for part in parts if part.path_in_schema.split(".")[0] in columns]
            if any(each is not None and each.null_count for each in statistics):
                for batch in parquet.iter_batches(BLOCK_ROWS, [group], columns):
                    yield row, batch
                    row += len(batch)
            else:
                row += footer.num_rows
    except _UNREADABLE as error:
        raise _not_to_its_end(file.path, error) from error


def _check_rows(file: SignatureFile, batch: pa.RecordBatch, first_row: int, num_perm: int) -> None:
    """Raise where a row lacks something, or has another number of values; first_row: of the batch, in the file."""
    for name in (file.key_column, SIGNATURE):
        if batch.column(name).null_count:
            raise _bad_row(file, first_row + _first(batch.column(name).is_null()), f"has no {name}")
    lengths = pc.list_value_length(batch.column(SIGNATURE))
    wrong = pc.not_equal(lengths, num_perm)
    if pc.any(wrong).as_py():
        place = _first(wrong)
        has = f"has {lengths[place]} values, and dedup.num_perm={num_perm} are needed"
        if pc.min(lengths) == pc.max(lengths):
            raise SignaturesError(
                f"dedup.signatures: {file.path}, row {first_row + place:,} (from 0) {has}; so have all rows about it: "
                f"set dedup.num_perm={lengths[place]}"
            )
        raise _bad_row(file, first_row + place, has)
    values = batch.column(SIGNATURE).flatten()
    if values.null_count:
        raise _bad_row(file, first_row + _first(values.is_null()) // num_perm, "has a value that is null")


def _is_signature(type_: pa.DataType | None, num_perm: int) -> bool:
    if type_ is None or (pa.types.is_fixed_size_list(type_) and type_.list_size != num_perm):
        return False
    is_list = pa.types.is_fixed_size_list(type_) or pa.types.is_list(type_) or pa.types.is_large_list(type_)
    return bool(is_list and type_.value_type == pa.uint32())


def _check_type(path: Path, schema: pa.Schema, name: str, is_right: bool, allowed: str) -> None:
    if is_right:
        return
    times = schema.names.count(name)
    found = f"{schema.field(name).type}" if times == 1 else f"there {times} times (columns: {', '.join(schema.names)})"
    raise SignaturesError(f"dedup.signatures: {path}: column {name!r} is {found}; it has to be {allowed}")


class LayOut:
    """Runs in a worker: writes a file's keys and signatures as arrays of which single rows can be read.

    Args:
        folder: of `<name>.keys` and `<name>.values`.
    """

    def __init__(self, folder: Path, num_perm: int) -> None:
        self._folder, self._num_perm = folder, num_perm

    def __call__(self, file: SignatureFile) -> Part:
        before = path_state(file.path)
        paths = [self._folder / f"{file.name}.{kind}" for kind in ("keys", "values")]
        with (
            room_for(paths[1]),
            replacing(paths[0]) as keys,
            replacing(paths[1]) as values,
            keys.open("wb") as keys_file,
            values.open("wb") as values_file,
        ):
            facts = self._copy(file, keys_file, values_file)
        if path_state(file.path) != before:
            raise InputChanged(f"{file.path}: changed while it was read; let its writer finish and run again")
        return Part(facts, paths)

    def _copy(self, file: SignatureFile, keys_file: BinaryIO, values_file: BinaryIO) -> dict[str, Any]:
        """Copy all rows; return their number, and the hash of what they say."""
        row, hashes = 0, (xxhash.xxh3_128(), xxhash.xxh3_128())
        for batch in _batches(file.path, [file.key_column, SIGNATURE]):
            _check_rows(file, batch, row, self._num_perm)
            keys = file.keys(batch.column(file.key_column))
            values = batch.column(SIGNATURE).flatten().to_numpy().astype("<u4", copy=False)
            for array, target, hash_ in zip((keys, values), (keys_file, values_file), hashes, strict=True):
                target.write(array.tobytes())
                hash_.update(array.tobytes())
            row += len(batch)
        content = [file.by_words, *(hash_.hexdigest() for hash_ in hashes)]
        return {"rows": row, "content": hash_json(content), "by_words": file.by_words}


def _batches(path: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Yield some columns, the checksum of every page verified where there is one."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as parquet:
            yield from parquet.iter_batches(BLOCK_ROWS, columns=columns)
    except _UNREADABLE as error:
        raise _not_to_its_end(path, error) from error


def _not_to_its_end(path: Path, error: Exception) -> SignaturesError:
    return SignaturesError(
        f"dedup.signatures: {path}: it can't be read to its end ({error}); restore the file, or leave it out"
    )


def _first(flags: pa.Array) -> int:
    return int(np.flatnonzero(flags.to_numpy(zero_copy_only=False))[0])


def _bad_row(file: SignatureFile, row: int, what: str) -> SignaturesError:
    return SignaturesError(f"dedup.signatures: {file.path}, row {row:,} (from 0) {what}; mend the row or leave it out")
