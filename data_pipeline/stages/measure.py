"""What deduplication knows of the documents of a partition is measured in a worker, or taken where it is stored."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data_pipeline.dedup.dedup import Dedup
from data_pipeline.dedup.signing import SignaturesError
from data_pipeline.documents import keys_of
from data_pipeline.records import Part
from data_pipeline.stages.features import features_path, write_features
from data_pipeline.stages.stored import SignaturesDiffer, Stored, take_stored
from data_pipeline.stages.view import Slice, num_bytes
from data_pipeline.storage import read_arrays, write_arrays


class Measure:
    """Runs in a worker: writes the features of a partition.

    Args:
        folder: of the stage in work/.
        stored: signatures that are taken instead of signing; None where none were given.
        file_names: by file number.
    """

    def __init__(self, dedup: Dedup, folder: Path, stored: Stored | None, file_names: list[str]) -> None:
        self._dedup, self._folder, self._stored, self._file_names = dedup, folder, stored, file_names

    def __call__(self, piece: Slice) -> Part:
        name, documents = piece.partition.name, piece.load()
        path = features_path(self._folder, name)
        facts = {"utf8_bytes": num_bytes(documents.column("text"))}
        if self._stored is None:
            write_features(path, self._dedup.features(documents.column("text")))
            return Part(facts, [path])
        try:
            taken = take_stored(self._dedup, self._stored, documents)
        except SignaturesDiffer as error:
            raise self._differs(error, documents, piece.partition.source, self._stored) from error
        write_features(path, taken.features)
        by_id = _by_id_path(self._folder, name)
        words = np.ascontiguousarray(taken.features.word_hashes[taken.is_by_id][:, 0])
        write_arrays(by_id, {"rows": taken.rows[taken.is_by_id], "words": words})
        return Part(facts | {"stored": int((taken.rows >= 0).sum()), "compared": taken.compared}, [path, by_id])

    def _differs(
        self, error: SignaturesDiffer, documents: pa.RecordBatch, source: str, stored: Stored
    ) -> SignaturesError:
        files, rows = keys_of(documents)
        identifier = documents.column("id")[error.position].as_py()
        place = f"{self._file_names[files[error.position]]}, record {rows[error.position]:,}"
        assert self._dedup.signing is not None
        made = ", ".join(f"{name} {value}" for name, value in self._dedup.signing.metadata().items())
        return SignaturesError(
            f"dedup.signatures: {stored.where(error.row)}: {error.num_equal} of {stored.num_perm} values are those of "
            f"the text of document {identifier!r} ({place}, from 0; source {source!r}); of {error.num_compared} "
            f"documents of its partition that were signed anew to compare, {error.num_wrong} differ. "
            + (
                f"So all are made in another way than here ({made}): set dedup.engine, dedup.seed and dedup.ngram as "
                "they were made, or clean= where they are of text as it came: signed is what cleaning leaves of it"
                if error.num_wrong == error.num_compared
                else "So these texts have changed since they were signed: leave their rows out"
            )
        )


def check_ids(folder: Path, partitions: Iterable[str], stored: Stored) -> None:
    """Refuse a signature that was taken by its id for documents of different words.

    Args:
        folder: of the stage in work/, as `Measure` left it.
        partitions: names.
    Raises:
        SignaturesError: names the row.
    """
    parts = [read_arrays(_by_id_path(folder, name)) for name in partitions]
    if not parts:
        return
    rows, words = (np.concatenate([part[name] for part in parts]) for name in ("rows", "words"))
    order = np.lexsort((words, rows))
    rows, words = rows[order], words[order]
    two = np.flatnonzero((rows[1:] == rows[:-1]) & (words[1:] != words[:-1]))
    if len(two):
        raise SignaturesError(
            f"dedup.signatures: {stored.where(int(rows[two[0]]))}: several documents of the corpus have its id and "
            f"other words than each other; whose it is, is not to be told. It is so with {len(np.unique(rows[two])):,} "
            "ids: leave their rows out, or name a field that tells documents apart (corpus.id_key=)"
        )


def in_words(parts: list[dict[str, Any]], num_docs: int) -> str:
    """Return how many signatures were taken, for the console; parts: the facts of each."""
    taken, compared = (sum(part[name] for part in parts) for name in ("stored", "compared"))
    text = f"{taken:,} of {num_docs:,} documents have a stored signature"
    if not taken:
        return f"warning: {text}: their ids or words are others, and dedup.signatures saves nothing"
    return f"{text}; {compared:,} of these were signed anew to compare, and are equal in every value"


def _by_id_path(folder: Path, partition: str) -> Path:
    return folder / f"by-id-{partition}.npz"
