"""The first pass to shards: a partition's documents as tokens, in the order in which their shards will have them.

Two files a partition: `<partition>.bin`, the tokens of its documents end to end, and `<partition>.arrow`, a row a
document. Those of one split and component stand together, so each shard's are a run of rows and a run of tokens.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from data_pipeline.documents import fingerprint, keys_of, utf8_buffers
from data_pipeline.mix.lots import lots
from data_pipeline.records import Part
from data_pipeline.shards.errors import ShardError
from data_pipeline.shards.kernels import add_checks, lay_out
from data_pipeline.shards.manifest import SPLITS
from data_pipeline.stages.view import Slice
from data_pipeline.storage import write_batch, write_file
from data_pipeline.tokenize.encoder import Encoder

NAME = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [
        pa.field("lot", pa.uint64(), nullable=False),  # what shuffled documents are ordered by; else all are 0
        pa.field("length", pa.int32(), nullable=False),  # tokens, end-of-text among them
        pa.field("check", pa.uint64(), nullable=False),  # of the tokens and of the columns below: see `checks_of`
        pa.field("source_file", NAME, nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("id", pa.large_string(), nullable=False),
    ]
)
_OF_ROWS, _OF_IDS = np.uint64(0x9E3779B185EBCA87), np.uint64(0xC2B2AE3D27D4EB4F)  # odd: no bit of a factor is lost


@dataclass(frozen=True, slots=True)
class Item:
    """Documents to encode.

    Attributes:
        held_out: (documents,) bool.
        names: of the components that they belong to. components: (documents,) int32, the place of each one's in it.
        files: the numbers of the files that they come from, ascending; file_names: their names.
        file_lots: of each of these, (files,) uint64, what its documents' lots hang on; None: they are not shuffled.
    """

    piece: Slice
    held_out: np.ndarray
    names: list[str]
    components: np.ndarray
    files: np.ndarray
    file_names: list[str]
    file_lots: np.ndarray | None


class Encode:
    """Runs in a worker: the texts of a partition to ids, those of a split and component together.

    Args:
        folder: where the parts go.
        dtype: of the tokens on disk.
    """

    def __init__(self, tokenizer_json: bytes, eot_token: str, folder: Path, dtype: np.dtype[Any]) -> None:
        self._tokenizer_json, self._eot_token, self._folder, self._dtype = tokenizer_json, eot_token, folder, dtype

    @cached_property
    def _encoder(self) -> Encoder:
        return Encoder(self._tokenizer_json, self._eot_token)

    def __call__(self, item: Item) -> Part:
        batch = item.piece.load("file", "row", "id", "text")
        files, rows = keys_of(batch)
        files = np.searchsorted(item.files, files)
        drawn = np.zeros(len(rows), np.uint64) if item.file_lots is None else lots(item.file_lots, files, rows)
        bucket = item.held_out * len(item.names) + item.components
        order = in_order(drawn, files, rows, bucket)
        ids, offsets = self._encoder.encode_texts(batch.column("text"))
        tokens, lengths = self._tokens(batch, ids, offsets, order)
        index = _index(batch, item, order, drawn, files, lengths, tokens)
        name = item.piece.partition.name
        write_file(tokens_path(self._folder, name), tokens.data.cast("B") if len(tokens) else b"")
        index_hash = write_batch(index_path(self._folder, name), index, compression=None)
        sizes = np.asarray(pc.binary_length(batch.column("text")), np.int64)
        bounds = np.searchsorted(bucket[order], np.arange(len(SPLITS) * len(item.names) + 1)).tolist()
        runs = [
            {"split": SPLITS[number // len(item.names)], "component": item.names[number % len(item.names)]}
            | _held(order[first:stop], lengths[first:stop], sizes, keys_of(batch))
            for number, (first, stop) in enumerate(itertools.pairwise(bounds))
            if stop > first
        ]
        paths = [tokens_path(self._folder, name), index_path(self._folder, name)]
        return Part({"runs": runs, "index_hash": index_hash, "encoder": self._encoder.describe()}, paths)

    def _tokens(
        self, batch: pa.RecordBatch, ids: np.ndarray, offsets: np.ndarray, order: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the tokens and the documents' lengths, both in this order."""
        tokens = np.empty(len(ids) + len(order), self._dtype)
        vocab_size = self._encoder.vocab_size
        if lay_out(ids, offsets, order, self._encoder.eot_id, tokens) >= vocab_size:
            place = int(np.searchsorted(offsets, np.argmax(ids >= vocab_size), side="right")) - 1
            raise ShardError(
                f"document {batch.column('id')[place].as_py()!r} has token id {ids.max()}, the vocabulary ends at "
                f"{vocab_size - 1}",
                "the engine and tokenizer.json disagree: this is a defect of groundwork, please report it",
            )
        return tokens, (np.diff(offsets) + 1).astype(np.int32)[order]


def in_order(drawn: np.ndarray, files: np.ndarray, rows: np.ndarray, bucket: np.ndarray | None = None) -> np.ndarray:
    """Return documents in the order of their shards, (n,) int64: by lot, equal ones by key; all lots 0: as they stand.

    Args:
        drawn: (n,) uint64 lots.
        files, rows: (n,) integers, their keys.
        bucket: (n,) integers, what comes before all this; None: they are of one.
    """
    groups = np.zeros(len(drawn), np.int64) if bucket is None else bucket
    if not drawn.any():
        return np.argsort(groups, kind="stable")
    order = np.lexsort((drawn, groups)) if bucket is not None else np.argsort(drawn, kind="stable")
    first, second = order[:-1], order[1:]
    if ((drawn[first] == drawn[second]) & (groups[first] == groups[second])).any():  # once in 2^64 pairs
        return np.lexsort((rows, files, drawn, groups))
    return order


def _index(
    batch: pa.RecordBatch,
    item: Item,
    order: np.ndarray,
    drawn: np.ndarray,
    files: np.ndarray,
    lengths: np.ndarray,
    tokens: np.ndarray,
) -> pa.RecordBatch:
    """Return the rows of the documents, in this order."""
    some = batch.select(["row", "id"]).take(pa.array(order))
    names = pa.DictionaryArray.from_arrays(pa.array(files[order].astype(np.int32)), pa.array(item.file_names))
    columns = {"source_file": names, "row": some.column("row"), "id": some.column("id")}
    checks = checks_of(tokens, lengths) + origin_checks(pa.RecordBatch.from_pydict(columns))
    columns = {"lot": pa.array(drawn[order]), "length": pa.array(lengths), "check": pa.array(checks), **columns}
    return pa.RecordBatch.from_pydict(columns, schema=SCHEMA)


def checks_of(tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the checksums of documents' tokens, (documents,) uint64; with `origin_checks` they are the column `check`.

    Args:
        tokens: (n,) uint16 or int32, end to end.
        lengths: (documents,) int32.
    """
    offsets, checks = np.zeros(len(lengths) + 1, np.int64), np.zeros(len(lengths), np.uint64)
    np.cumsum(lengths, out=offsets[1:])
    add_checks(tokens.view(f"<u{tokens.itemsize}"), offsets, checks)
    return checks


def origin_checks(rows: pa.RecordBatch) -> np.ndarray:
    """Return the checksums of where documents come from, (documents,) uint64; rows: with source_file, row and id."""
    names = rows.column("source_file")
    hashes = [xxhash.xxh3_64_intdigest(name.encode()) for name in names.dictionary.to_pylist()]
    data, offsets = utf8_buffers(rows.column("id"))
    of_ids = np.zeros(rows.num_rows, np.uint64)
    add_checks(data, offsets, of_ids)
    of_names = np.array(hashes, np.uint64)[names.indices.to_numpy()]
    checks: np.ndarray = of_names + of_ids * _OF_IDS + rows.column("row").to_numpy().view(np.uint64) * _OF_ROWS
    return checks


def tokens_path(folder: Path, partition: str) -> Path:
    """Return the file of a partition's tokens, of the dtype on disk."""
    return folder / f"{partition}.bin"


def index_path(folder: Path, partition: str) -> Path:
    """Return the file of the documents whose tokens these are: SCHEMA."""
    return folder / f"{partition}.arrow"


def _held(
    places: np.ndarray, lengths: np.ndarray, sizes: np.ndarray, keys: tuple[np.ndarray, np.ndarray]
) -> dict[str, Any]:
    """Return what a part holds of a component; places: its documents, lengths: their tokens."""
    return {
        "tokens": int(lengths.sum(dtype=np.int64)),
        "documents": len(places),
        "utf8_bytes": int(sizes[places].sum()),
        "fingerprint": f"{fingerprint(keys[0][places], keys[1][places]):032x}",
    }
