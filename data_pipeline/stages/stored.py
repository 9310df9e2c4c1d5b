"""Stored signatures, found by the words of a document or by its id, and held against the text before they are used.

A row is found by 128 bits of hash in sorted arrays on disk: 24 bytes a row that workers map and share, no dict of each.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data_pipeline.dedup.dedup import Dedup, Features
from data_pipeline.dedup.signing import SignaturesError
from data_pipeline.stages.mapped import Mapped
from data_pipeline.stages.signature_files import SignatureFile, id_keys

SAMPLE_EVERY, MIN_SAMPLE = 16, 64  # of a partition's documents with a stored signature, how many are signed anew


@dataclass(frozen=True, slots=True)
class Stored:
    """Stored signatures; small, so that it can be sent to workers.

    Attributes:
        index: firsts and seconds, (n,) uint64, the halves of the keys, sorted; rows, (n,) int64. Aligned: of an array
            in an .npz each search would make a copy.
        values: of each file; paths: of what it was made of.
        starts: (files + 1,) int64, first row of each.
        by_words, by_id: whether any is found so.
    """

    index: Mapped
    values: list[Path]
    paths: list[Path]
    starts: np.ndarray
    num_perm: int
    by_words: bool
    by_id: bool

    def find(self, keys: np.ndarray) -> np.ndarray:
        """Return the row of each key, (m,) int64, -1 where there is none; keys: (m, 2) uint64."""
        firsts, seconds, rows = (self.index.arrays[name] for name in ("firsts", "seconds", "rows"))
        found = np.full(len(keys), -1, np.int64)
        places = np.searchsorted(firsts, keys[:, 0])
        pending = np.arange(len(keys))
        while len(pending):  # mostly once: two keys of one first half are a rarity
            pending = pending[places[pending] < len(firsts)]
            pending = pending[firsts[places[pending]] == keys[pending, 0]]
            is_hit = seconds[places[pending]] == keys[pending, 1]
            found[pending[is_hit]] = rows[places[pending[is_hit]]]
            pending = pending[~is_hit]
            places[pending] += 1
        return found

    def signatures(self, rows: np.ndarray) -> np.ndarray:
        """Return the signatures in these rows, (m, num_perm) uint32."""
        signatures = np.empty((len(rows), self.num_perm), np.uint32)
        files = np.searchsorted(self.starts, rows, side="right") - 1
        for number in np.unique(files).tolist():
            here = files == number
            values = np.memmap(self.values[number], "<u4", "r").reshape(-1, self.num_perm)
            signatures[here] = values[rows[here] - self.starts[number]]
        return signatures

    def where(self, row: int) -> str:
        """Return a row's file and its row in it."""
        file = int(np.searchsorted(self.starts, row, side="right")) - 1
        return f"{self.paths[file]}, row {row - int(self.starts[file]):,} (from 0)"


def index_stored(folder: Path, files: list[SignatureFile], facts: list[dict[str, Any]], num_perm: int) -> Stored:
    """Return what `LayOut` laid out as one.

    Args:
        folder: that it was laid out in; receives the index.
        facts: of each file.
    Raises:
        SignaturesError: an id stands in two rows.
    """
    order = sorted(range(len(files)), key=lambda i: str(facts[i]["content"]))  # rows are numbered by content, not names
    files, facts = [files[i] for i in order], [facts[i] for i in order]
    keys = [np.fromfile(folder / f"{file.name}.keys", np.uint64).reshape(-1, 2) for file in files]
    all_keys = np.concatenate([np.zeros((0, 2), np.uint64), *keys])
    rows = np.lexsort((all_keys[:, 1], all_keys[:, 0]))
    all_keys = all_keys[rows]
    stored = Stored(
        Mapped(folder / "stored.keys", {"firsts": all_keys[:, 0], "seconds": all_keys[:, 1], "rows": rows}),
        [folder / f"{file.name}.values" for file in files],
        [file.path for file in files],
        np.cumsum([0, *(each["rows"] for each in facts)], dtype=np.int64),
        num_perm,
        any(file.by_words for file in files),
        not all(file.by_words for file in files),
    )
    repeats = np.flatnonzero((all_keys[1:] == all_keys[:-1]).all(axis=1))
    by_id = np.repeat([not file.by_words for file in files], np.diff(stored.starts))
    for place in repeats[by_id[rows[repeats]]][:1].tolist():
        first, second = (stored.where(int(row)) for row in rows[place : place + 2])
        raise SignaturesError(
            f"dedup.signatures: {first} and {second} have one id; which of them is the document's is not to be told: "
            "leave one of them out"
        )
    return stored


@dataclass(frozen=True, slots=True)
class Taken:
    """Features of documents, of which some have a stored signature.

    Attributes:
        rows: (n,) int64 of the stored ones, else -1.
        is_by_id: (n,) bool: which were found by their id.
        compared: how many were signed anew, and equal.
    """

    features: Features
    rows: np.ndarray
    is_by_id: np.ndarray
    compared: int


def take_stored(dedup: Dedup, stored: Stored, documents: pa.RecordBatch) -> Taken:
    """Return features whose signatures are stored ones where there are; the others are signed.

    Raises:
        SignaturesDiffer: a stored one is not that of the text.
    """
    texts = documents.column("text")
    bare = dedup.unsigned(texts)
    rows = stored.find(bare.word_hashes[:]) if stored.by_words else np.full(len(texts), -1, np.int64)
    is_by_id = np.zeros(len(texts), bool)
    if stored.by_id:
        left = np.flatnonzero(rows < 0)
        rows[left] = stored.find(id_keys(documents.column("id").take(pa.array(left))))
        is_by_id[left] = rows[left] >= 0
    known, unknown = np.flatnonzero(rows >= 0), np.flatnonzero(rows < 0)
    signatures = np.empty((len(texts), stored.num_perm), np.uint32)
    signatures[known] = stored.signatures(rows[known])
    signatures[unknown] = dedup.sign(texts.take(pa.array(unknown)))
    sample = sample_of(known)
    num_equal = (dedup.sign(texts.take(pa.array(sample))) == signatures[sample]).sum(axis=1)
    if len(differ := np.flatnonzero(num_equal < stored.num_perm)):
        first = differ[0]
        raise SignaturesDiffer(
            int(sample[first]), int(rows[sample[first]]), int(num_equal[first]), len(differ), len(sample)
        )
    return Taken(Features(bare.word_hashes, bare.num_chars, signatures), rows, is_by_id, len(sample))


def sample_of(known: np.ndarray) -> np.ndarray:
    """Return which documents are signed anew, evenly spread: one of SAMPLE_EVERY, MIN_SAMPLE at least, or all.

    Where a share p of n stored signatures is of other texts, all of a partition's sample is right with probability
    (1 - p)^(n / 16): of 10,000 documents with one in a hundred changed, 0.2 %.
    """
    size = min(max(MIN_SAMPLE, -(-len(known) // SAMPLE_EVERY)), len(known))
    return known[np.arange(size) * len(known) // max(size, 1)]


class SignaturesDiffer(SignaturesError):
    """A stored signature is not that of its document's text.

    Attributes:
        position: of the document among those that were looked at.
        row: of the stored one.
        num_equal: values that are equal.
        num_wrong, num_compared: documents of the sample: with such a signature; all.
    """

    def __init__(self, position: int, row: int, num_equal: int, num_wrong: int, num_compared: int) -> None:
        super().__init__(f"document {position}: {num_equal} values of the signature in row {row} are equal")
        self.position, self.row, self.num_equal = position, row, num_equal
        self.num_wrong, self.num_compared = num_wrong, num_compared
