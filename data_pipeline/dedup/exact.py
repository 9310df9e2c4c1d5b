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


def remove_exact(features: list[Features], preference: np.ndarray | None = None) -> Removals:
    """Return every document whose words' hash a kept one has, with that one; a cluster is all of one hash."""
    if not features:
        return none_of("exact_duplicate")
    duplicates, kept = exact_duplicates(np.concatenate([part.word_hashes for part in features]), preference)
    of_each, first_rows, places = np.unique(kept, return_index=True, return_inverse=True)
    cluster = np.minimum(of_each, duplicates[first_rows])[places]
    return Removals("exact_duplicate", duplicates, kept=kept, similarity=np.ones(len(kept)), cluster=cluster)


class Exact(Dedup):
    """Removes documents whose words equal a kept document's.

    Args:
        keep: which document stays: `first` in corpus order, and so does `longest`, for their words are equal; `newest`,
            `oldest` or highest `score`, by `keep_field`; `source`, by `keep_sources`.
        keep_field: field of the metadata: a number, for `newest` and `oldest` also a date as ISO 8601 writes it. A
            document without it goes before any that has it.
        keep_sources: names of all sources, that which stays first.
        max_loss_frac: share of a source's documents that may go; more, and 100 or more, stop the run.
    Raises:
        SettingError: a value that can't work.
    """

    seeks_near = False
    order_alone = ARGUMENTS
    limits = frozenset({"max_loss_frac"})

    def __init__(
        self,
        keep: Keep = "first",
        keep_field: str | None = None,
        keep_sources: list[str] | None = None,
        max_loss_frac: float = 0.95,
    ) -> None:
        self.order = KeepOrder(keep, keep_field, keep_sources)
        self.max_loss_frac = checked_loss(max_loss_frac)

    def features(self, texts: pa.LargeStringArray) -> Features:
        return unsigned_features(texts)

    def exact(self, features: list[Features], preference: np.ndarray | None = None) -> Removals:
        return remove_exact(features, preference)

    def near(self, features: list[Features], corpus: Corpus, preference: np.ndarray | None = None) -> NearResult:
        return NearResult(none_of("near_duplicate"))
