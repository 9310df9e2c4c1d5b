"""Exact deduplication: two documents are the same when their words are, whatever their case and white space."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from data_pipeline.dedup.corpus import Corpus
from data_pipeline.dedup.dedup import Dedup, Features, NearResult, checked_loss, none_of
from data_pipeline.dedup.keep import ARGUMENTS, Keep, KeepOrder
from data_pipeline.dedup.words import join_words
from data_pipeline.documents import Removals
from foundation.errors import require

MEMORY_BYTES = 1 << 30
SORTED_BYTES = 80  # of a document whose hash is compared: the hash twice, its position, two orders, what runs it begins
_HALF = np.uint64(32)


def hash_of_words(words: np.ndarray) -> bytes:
    """Return the xxh3-128 of a document's joined words (dedup.words), 16 bytes."""
    return xxhash.xxh3_128_digest(words.data)


def hashes_array(hashes: list[bytes]) -> np.ndarray:
    """Return hashes of 16 bytes as (n, 2) uint64, so that NumPy can sort them."""
    return np.frombuffer(b"".join(hashes), dtype=np.uint64).reshape(-1, 2)


def count_chars(texts: pa.LargeStringArray) -> np.ndarray:
    """Return the code points of each text, (n,) int64."""
    return np.asarray(pc.utf8_length(texts), dtype=np.int64)


def unsigned_features(texts: pa.LargeStringArray) -> Features:
    """Return features whose signatures have no values."""
    hashes = [hash_of_words(words) for words in join_words(texts)]
    return Features(hashes_array(hashes), count_chars(texts), np.zeros((len(texts), 0), np.uint32))


def checked_memory(memory_bytes: int) -> int:
    """Return the bytes that a search may take.

    Raises:
        SettingError: they are too few to work with.
    """
    allowed = f"{1 << 20} (1 MiB) or more; {MEMORY_BYTES} (1 GiB) is usual"
    require(memory_bytes >= 1 << 20, "memory_bytes", memory_bytes, allowed)
    return memory_bytes


def exact_duplicates(hashes: np.ndarray, preference: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Find the rows that repeat another row.

    Args:
        hashes: (n, 2) uint64.
        preference: (n,) float64, of equal rows the lowest stays; None: the first.
    Returns:
        duplicates: (m,) int64, ascending; kept: (m,) int64, the row that stays for each of them.
    """
    keys = (hashes[:, 1], hashes[:, 0])
    order = np.lexsort(keys if preference is None else (preference, *keys))  # stable: equals stay in row order
    in_order = hashes[order]
    repeats = np.zeros(len(hashes), bool)
    repeats[1:] = (in_order[1:] == in_order[:-1]).all(axis=1)
    first_of_run = np.maximum.accumulate(np.where(repeats, 0, np.arange(len(hashes))))
    duplicates, kept = order[repeats], order[first_of_run[repeats]]
    ascending = np.argsort(duplicates)
    return duplicates[ascending], kept[ascending]


def remove_exact(
    features: list[Features], preference: np.ndarray | None = None, memory_bytes: int = MEMORY_BYTES
) -> Removals:
    """Return every document whose words' hash a kept one has, with that one; a cluster is all of one hash.

    Args:
        features: their hashes may lie on disk.
        preference: (n,) float64, of equal documents the lowest stays; None: the first.
        memory_bytes: for the hashes that are looked at together, one range of them at a time. What it is changes no
            result. Copies of one text have one hash and are in memory together, whatever it is.
    """
    num_ranges = 1 + sum(map(len, features)) * SORTED_BYTES // memory_bytes
    found = [_copies_of_range(features, preference, number, num_ranges) for number in range(num_ranges)]
    duplicates, kept, cluster = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.argsort(duplicates)
    alike = np.ones(len(order))
    return Removals("exact_duplicate", duplicates[order], kept=kept[order], similarity=alike, cluster=cluster[order])


def _copies_of_range(
    features: list[Features], preference: np.ndarray | None, number: int, num_ranges: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return positions of the copies among the documents of one range of hashes, (m,) int64 each: of each copy, of the
    one that stays for it, and of the first of all that are equal to both."""
    hashes, positions = _range_of(features, number, num_ranges)
    duplicates, kept = exact_duplicates(hashes, None if preference is None else preference[positions])
    of_each, first_rows, places = np.unique(kept, return_index=True, return_inverse=True)
    firsts = np.minimum(of_each, duplicates[first_rows])
    return positions[duplicates], positions[kept], positions[firsts[places]]


def _range_of(features: list[Features], number: int, num_ranges: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the hashes of one range, (n, 2) uint64, and the positions that have them, (n,) int64, ascending."""
    hashes, positions = [np.zeros((0, 2), np.uint64)], [np.zeros(0, np.int64)]
    first = 0
    for part in features:
        of_part = part.word_hashes[:]
        inside = ((of_part[:, 0] >> _HALF) * np.uint64(num_ranges)) >> _HALF == np.uint64(number)
        hashes.append(of_part[inside])
        positions.append(first + np.flatnonzero(inside))
        first += len(part)
    return np.concatenate(hashes), np.concatenate(positions)


class Exact(Dedup):
    """Removes documents whose words equal a kept document's.

    Args:
        keep: which document stays: `first` in corpus order, and so does `longest`, for their words are equal; `newest`,
            `oldest` or highest `score`, by `keep_field`; `source`, by `keep_sources`.
        keep_field: field of the metadata: a number, for `newest` and `oldest` also a date as ISO 8601 writes it. A
            document without it goes before any that has it.
        keep_sources: names of all sources, that which stays first.
        memory_bytes: for hashes that are compared at a time, 80 a document; with less the stored ones are read more
            often. It changes no result.
        max_loss_frac: share of a source's documents that may go; more, and 100 or more, stop the run.
    Raises:
        SettingError: a value that can't work.
    """

    seeks_near = False
    order_alone = ARGUMENTS
    limits = frozenset({"max_loss_frac", "memory_bytes"})
    memory_bytes = MEMORY_BYTES  # of a subclass that has a constructor of its own

    def __init__(
        self,
        keep: Keep = "first",
        keep_field: str | None = None,
        keep_sources: list[str] | None = None,
        memory_bytes: int = MEMORY_BYTES,
        max_loss_frac: float = 0.95,
    ) -> None:
        self.order = KeepOrder(keep, keep_field, keep_sources)
        self.memory_bytes = checked_memory(memory_bytes)
        self.max_loss_frac = checked_loss(max_loss_frac)

    def features(self, texts: pa.LargeStringArray) -> Features:
        return unsigned_features(texts)

    def exact(self, features: list[Features], preference: np.ndarray | None = None) -> Removals:
        return remove_exact(features, preference, self.memory_bytes)

    def near(self, features: list[Features], corpus: Corpus, preference: np.ndarray | None = None) -> NearResult:
        return NearResult(none_of("near_duplicate"))
