"""The unit that flows: an Arrow record batch of documents; what is written of each one, or span of one, that goes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

# A document's key is (file number in sorted input order, row); `id` is the record's own where it has one, else
# `<file name>#<row>`. Large strings: a partition may hold more than 2 GiB of text.
SCHEMA = pa.schema(
    [
        pa.field("file", pa.int32(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("id", pa.large_string(), nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("metadata", pa.large_string(), nullable=False),  # the record's other fields as JSON
    ]
)

MODULUS = 1 << 128  # of fingerprints
COPY_SHIFT = 48  # bits of a row below the number of a copy: the row of its document
MOST_COPIES = (1 << 63 - COPY_SHIFT) - 1  # of a document
_BLOCK_KEYS = 1 << 14  # hashed at a time: what is made on the way stays in the processor's cache
SNIPPET_CHARS = 240  # of a removed document, and of the one kept in its place: enough to judge by eye
# of xxh3-128 for inputs of 9 to 16 bytes and seed 0. Source: xxHash 0.8, doc/xxhash_spec.md, "XXH3 Algorithm Overview"
_FLIP_LOW = np.uint64(0x78E5C0CC4EE679CB ^ 0x2172FFCC7DD05A82)  # of its default secret, bytes 32 to 48
_FLIP_HIGH = np.uint64(0x8E2443F7744608B8 ^ 0x4C263A81E69035E0)  # bytes 48 to 64
_PRIME32_2 = np.uint64(0x85EBCA77)
_PRIME64_1, _PRIME64_2 = np.uint64(0x9E3779B185EBCA87), np.uint64(0xC2B2AE3D27D4EB4F)
_PRIME_MX1 = np.uint64(0x165667919E3779F9)
_LOW_HALF, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


@dataclass(frozen=True, slots=True)
class Removal:
    """Why the document at `position` (of the batch or corpus that was judged) is removed; the fields that apply.

    Attributes:
        reason: one word a rule, e.g. `gopher_too_few_words`, `exact_duplicate`, `near_duplicate`, `contaminated`.
        value, threshold: what the rule measured and its limit.
        kept: position of the kept duplicate.
        similarity: the measured similarity of both.
        cluster: the position of the first document that bands connect with it.
        test_item: `<test set>#<item>`.
        coverage: the share of its n-grams that the document holds.
        start, stop: where not the whole document goes: UTF-8 bytes in its text as the stage saw it.
    """

    position: int
    reason: str
    value: float | None = None
    threshold: float | None = None
    kept: int | None = None
    similarity: float | None = None
    cluster: int | None = None
    test_item: str | None = None
    coverage: float | None = None
    start: int | None = None
    stop: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Removals:
    """Removals for one reason in columns: 8 bytes a number, where a `Removal` takes 250. Iterating makes the objects.

    Attributes:
        reason, threshold: of all.
        positions: (m,) int64, ascending.
        kept, cluster, start, stop: (m,) int64; value, similarity: (m,) float64. None where they don't apply.
    """

    reason: str
    positions: np.ndarray
    threshold: float | None = None
    value: np.ndarray | None = None
    kept: np.ndarray | None = None
    similarity: np.ndarray | None = None
    cluster: np.ndarray | None = None
    start: np.ndarray | None = None
    stop: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.positions)

    def __iter__(self) -> Iterator[Removal]:
        columns = {name: array.tolist() for name, array in self.columns().items()}
        for values in zip(self.positions.tolist(), *columns.values(), strict=True):
            fields = dict(zip(columns, values[1:], strict=True))
            yield Removal(values[0], self.reason, threshold=self.threshold, **fields)

    def columns(self) -> dict[str, np.ndarray]:
        """Return the columns that apply, the positions left out."""
        names = ("value", "kept", "similarity", "cluster", "start", "stop")
        return {name: column for name in names if (column := getattr(self, name)) is not None}

    def rows(self, chosen: slice | np.ndarray) -> Removals:
        """Return some of them."""
        columns = {name: column[chosen] for name, column in self.columns().items()}
        return Removals(self.reason, self.positions[chosen], self.threshold, **columns)


# reasons that say of a file's last record that the file was cut inside it
CUT_SHORT = ("csv_eof", "json_eof", "utf8_eof")


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A record that could not be read.

    Attributes:
        row: its place in the file, from 0.
        offset_bytes: where it begins in the decompressed file; None where it was read, and a rule could not take it.
        data: its bytes.
        line: as editors and `sed -n` count, from 1; None where a record is no line.
    """

    row: int
    offset_bytes: int | None
    reason: str
    data: bytes
    line: int | None = None


def utf8_buffers(texts: pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
    """Return an array's UTF-8 bytes and offsets without a copy: (n,) uint8, (texts + 1,) int64 into it."""
    _, offset_buffer, data_buffer = texts.buffers()
    if not len(texts) or data_buffer is None:
        return np.zeros(0, dtype=np.uint8), np.zeros(len(texts) + 1, dtype=np.int64)
    offsets = np.frombuffer(offset_buffer, dtype=np.int64)[texts.offset : texts.offset + len(texts) + 1]
    return np.frombuffer(data_buffer, dtype=np.uint8), offsets


def keys_of(batch: pa.RecordBatch) -> tuple[np.ndarray, np.ndarray]:
    """Return the keys of a batch: (docs,) int32 files, (docs,) int64 rows."""
    return batch.column("file").to_numpy(), batch.column("row").to_numpy()


def copy_rows(rows: np.ndarray, number: int) -> np.ndarray:
    """Return the rows of copies, which have their documents' files; `rows & (1 << COPY_SHIFT) - 1` gives these back.

    Args:
        rows: (n,) int64, of documents that are no copies.
        number: of the copy, from 1 to MOST_COPIES.
    """
    assert not (rows >> COPY_SHIFT).any(), "a copy of a copy"
    return rows + (number << COPY_SHIFT)


def parents_of(files: np.ndarray, rows: np.ndarray, num_first: int) -> np.ndarray:
    """Return the document that each copy is one of, (n - num_first,) int64, its place among all.

    Args:
        files, rows: (n,) keys, of documents that are no copies and, behind them, of copies of some of these.
        num_first: how many are no copies.
    """
    order = np.lexsort((rows & (1 << COPY_SHIFT) - 1, files))  # stable: a document comes before its copies
    places = np.maximum.accumulate(np.where(order < num_first, np.arange(len(order)), 0))
    parents = np.empty(len(order), np.int64)
    parents[order] = order[places]
    of_copies: np.ndarray = parents[num_first:]
    return of_copies


def parents_of_plainly(files: Sequence[int], rows: Sequence[int], num_first: int) -> list[int]:
    """Return what `parents_of` does, document by document."""
    places = {key: place for place, key in enumerate(zip(files[:num_first], rows[:num_first], strict=True))}
    copies = zip(files[num_first:], rows[num_first:], strict=True)
    return [places[file, row % (1 << COPY_SHIFT)] for file, row in copies]


def has_field(metadata: str, key: str) -> bool:
    """Return whether an object of metadata has a field of its own."""
    may_be = orjson.dumps(key).decode() in metadata or "\\u" in metadata  # a name may be written in escapes
    return may_be and key in orjson.loads(metadata)


def with_field(metadata: str, key: str, value: Any) -> str:
    """Return an object of metadata with one more field, the last one; the others are not written anew.

    Args:
        key: that it does not have.
        value: a JSON value.
    """
    before = metadata.rstrip()[:-1].rstrip()
    comma = "" if before == "{" else ","
    return f"{before}{comma}{orjson.dumps(key).decode()}:{orjson.dumps(value).decode()}}}"


def without_field(metadata: str, key: str) -> str:
    """Return an object of metadata without a field; as it is where it has none."""
    if not has_field(metadata, key):
        return metadata
    return json.dumps({name: value for name, value in json.loads(metadata).items() if name != key}, ensure_ascii=False)


def from_texts(texts: list[str]) -> pa.RecordBatch:
    """Return documents of these texts, for tests and notebooks: `verdicts(GopherQuality(), from_texts(["..."]))`.

    Their file is 0, their row the place in `texts`, their id the row as text.
    """
    rows = list(range(len(texts)))
    columns = {"file": [0] * len(texts), "row": rows, "id": [str(row) for row in rows], "text": texts}
    return pa.RecordBatch.from_pydict(columns | {"metadata": ["{}"] * len(texts)}, schema=SCHEMA)


def fingerprint(files: np.ndarray, rows: np.ndarray) -> int:
    """Return the order-free fingerprint of a set of documents: the sum of the 128-bit hashes of their keys mod 2^128.

    A lost and a doubled document can't cancel; fingerprints of disjoint sets add up.

    Args:
        files: (n,) int32 file numbers.
        rows: (n,) int64 rows.
    """
    total = 0
    for start in range(0, len(files), _BLOCK_KEYS):
        block = slice(start, start + _BLOCK_KEYS)
        high, low = hash_pairs(*(keys[block].astype(np.int64).view(np.uint64) for keys in (files, rows)))
        total += (_sum(high) << 64) + _sum(low)
    return total % MODULUS


def _sum(values: np.ndarray) -> int:
    """Return the sum of up to 2^32 uint64."""
    return (int((values >> np.uint64(32)).sum()) << 32) + int((values & np.uint64(0xFFFFFFFF)).sum())


def hash_pairs(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the xxh3-128 of the 16 bytes of each pair of integers, little-endian, as `xxhash.xxh3_128_intdigest` does.

    Args:
        first, second: (n,) uint64.
    Returns:
        high, low: (n,) uint64 each, the halves of the hashes.
    """
    high, low = _multiply(first ^ second ^ _FLIP_LOW, _PRIME64_1)
    low = low + np.uint64((16 - 1) << 54)
    second = second ^ _FLIP_HIGH
    high = high + second + (second & _LOW_HALF) * (_PRIME32_2 - np.uint64(1))
    low = low ^ high.byteswap()
    carried, low = _multiply(low, _PRIME64_2)
    return _avalanche(carried + high * _PRIME64_2), _avalanche(low)


def _multiply(values: np.ndarray, factor: np.uint64) -> tuple[np.ndarray, np.ndarray]:
    """Return the upper and the lower 64 bits of products, by halves as in long multiplication."""
    low, high = values & _LOW_HALF, values >> _HALF
    factor_low, factor_high = factor & _LOW_HALF, factor >> _HALF
    cross = high * factor_low + (low * factor_low >> _HALF)
    middle = low * factor_high + (cross & _LOW_HALF)
    return high * factor_high + (cross >> _HALF) + (middle >> _HALF), values * factor


def _avalanche(values: np.ndarray) -> np.ndarray:
    values = (values ^ (values >> np.uint64(37))) * _PRIME_MX1
    mixed: np.ndarray = values ^ (values >> _HALF)
    return mixed
