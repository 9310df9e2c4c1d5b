"""Near-duplicate removal: exact duplicates, then MinHash signatures, bands, and an exact check of every candidate."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from data_pipeline.dedup.bands import find_clusters, rows_at
from data_pipeline.dedup.clusters import Comparison, Keep, Reader, verify
from data_pipeline.dedup.dedup import Dedup, Features, NearResult, no_near_duplicates
from data_pipeline.dedup.exact import count_chars, hash_of_words, hashes_array, remove_exact
from data_pipeline.dedup.greedy import Likeness
from data_pipeline.dedup.lsh import choose_bands, min_equal_values, s_curve
from data_pipeline.dedup.signatures import EMPTY, SIGNERS, Engine
from data_pipeline.dedup.words import join_words
from data_pipeline.documents import Removal
from foundation.errors import SettingError, require
from foundation.progress import Meter


class MinHash(Dedup):
    """Removes exact and near-duplicates.

    Args:
        threshold: Jaccard similarity of two documents' shingle sets, in (0, 1], from which one of them goes.
        num_perm: 32-bit values per signature.
        ngram: words per shingle.
        bands: groups that a signature is cut into; None chooses bands and rows (lsh.choose_bands).
        rows: values per band; set both or none.
        seed: of the permutations; 1 is datasketch's default.
        keep: which document of a cluster is taken first: `longest`, or `first` in corpus order.
        engine: how signatures are made: `fast`, of the 64-bit hashes that verification compares by; `compatible`, every
            value equal to datasketch's (scheme affine32, SHA-1); `datasketch`, by that library itself.
        memory_bytes: of the tables that bands are looked up in. Less reads the signatures more often, and changes no
            result: 24 bytes a document and band hold all at once.
    Raises:
        SettingError: a value that can't work.
    """

    near_alone = frozenset({"threshold", "bands", "rows", "keep", "memory_bytes"})

    def __init__(
        self,
        threshold: float = 0.8,
        num_perm: int = 128,
        ngram: int = 5,
        bands: int | None = None,
        rows: int | None = None,
        seed: int = 1,
        keep: Keep = "longest",
        engine: Engine = "fast",
        memory_bytes: int = 1 << 30,
    ) -> None:
        allowed = "a number above 0 and up to 1; 0.8 is usual, 1 removes equal sets only"
        require(0 < threshold <= 1, "threshold", threshold, allowed)
        require(num_perm >= 1, "num_perm", num_perm, "1 or more; 128 is usual")
        require(ngram >= 1, "ngram", ngram, "1 or more; 5 is usual")
        require(0 <= seed < 2**32, "seed", seed, "a number from 0 to below 2^32")
        allowed = f"{1 << 20} (1 MiB) or more; {1 << 30} (1 GiB) is usual"
        require(memory_bytes >= 1 << 20, "memory_bytes", memory_bytes, allowed)
        self.memory_bytes = memory_bytes
        self.threshold, self.num_perm, self.ngram, self.seed, self.keep = threshold, num_perm, ngram, seed, keep
        self.engine: Engine = engine
        self.bands, self.rows = _bands(threshold, num_perm, bands, rows)

    def features(self, texts: pa.LargeStringArray) -> Features:
        signer = SIGNERS[self.engine](self.num_perm, self.seed, self.ngram)
        signatures = np.full((len(texts), self.num_perm), EMPTY, np.uint32)
        hashes = []
        for words, signature in zip(join_words(texts), signatures, strict=True):
            hashes.append(hash_of_words(words))
            signer.lower(words, signature)
        return Features(hashes_array(hashes), count_chars(texts), signatures)

    def exact(self, features: list[Features]) -> list[Removal]:
        return remove_exact(features)

    def near(
        self, features: list[Features], texts_of: Callable[[np.ndarray], list[str]], progress: Meter
    ) -> NearResult:
        if not sum(map(len, features)):
            return no_near_duplicates(features, progress)
        signatures = [part.signatures for part in features]
        found = find_clusters(signatures, self.bands, self.rows, self.memory_bytes)
        num_chars = np.concatenate([part.num_chars for part in features])
        likeness = Likeness(self.threshold, False, min_equal_values(self.threshold, self.num_perm))
        comparison = Comparison(likeness, self.ngram, self.bands, self.rows)
        reader = Reader(lambda positions: rows_at(signatures, positions), texts_of)
        return verify(found, num_chars, self.keep, comparison, reader, progress)

    def describe(self) -> str:
        return s_curve(self.threshold, self.bands, self.rows)


def _bands(threshold: float, num_perm: int, bands: int | None, rows: int | None) -> tuple[int, int]:
    if bands is None and rows is None:
        return choose_bands(threshold, num_perm)
    if bands is None or rows is None:
        missing = "bands" if bands is None else "rows"
        raise SettingError(f"{missing}: null while the other is set; set both bands and rows, or none")
    if bands < 1 or rows < 1 or bands * rows > num_perm:
        raise SettingError(
            f"bands: {bands} of {rows} rows do not fit a signature of {num_perm} values; both are at least 1, their "
            "product at most num_perm; null chooses both"
        )
    return bands, rows
