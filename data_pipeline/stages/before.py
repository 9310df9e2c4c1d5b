"""What the filter knows of texts as they were read: their sizes, and how those began that the rules left empty."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline.clean.empty import without_words
from data_pipeline.clean.rules import Applied
from data_pipeline.stages.view import CLEAN, snippets
from data_pipeline.storage import read_arrays, write_arrays
from foundation.hashes import hash_bytes


class Emptied(NamedTuple):
    """Of a document that the rules left without a word.

    Attributes:
        rule: label of the rule that took the last one; None where it came so, or where no label is known.
        begin: how its text began when it was read.
    """

    rule: str | None
    begin: str


@dataclass(frozen=True, slots=True, eq=False)
class Before:
    """Of the documents of a partition.

    Attributes:
        sizes: (documents,) int64, UTF-8 bytes of their texts as they were read.
        empty: (m,) int64, positions of those without a word now, ascending.
        emptied: of each of these.
    """

    sizes: np.ndarray
    empty: np.ndarray
    emptied: list[Emptied]

    @classmethod
    def of(cls, documents: pa.RecordBatch, applied: Applied) -> Before:
        """Return it of documents as they were read, and what the rules made of them."""
        left = np.delete(np.arange(documents.num_rows), [each.position for each in applied.failed])
        texts = documents.column("text")
        sizes = pc.binary_length(texts).to_numpy(zero_copy_only=False)[left].astype(np.int64)
        empty = np.flatnonzero(without_words(applied.batch.column("text")))
        begins = snippets(texts.take(pa.array(left[empty])))
        rules = [applied.emptied_by.get(position) for position in empty.tolist()]
        return cls(sizes, empty, [Emptied(*each) for each in zip(rules, begins, strict=True)])

    @classmethod
    def read(cls, work: Path, partition: str) -> Before:
        """Read what `write` wrote.

        Raises:
            DamagedFile: it is not what was written.
        """
        arrays = read_arrays(before_path(work, partition))
        told = orjson.loads(arrays["emptied"].tobytes())
        return cls(arrays["sizes"], arrays["empty"], [Emptied(*each) for each in told])

    def write(self, work: Path, partition: str) -> str:
        """Write it; return a hash of what it holds."""
        told = orjson.dumps([list(each) for each in self.emptied])
        arrays = {"sizes": self.sizes, "empty": self.empty, "emptied": np.frombuffer(told, np.uint8)}
        write_arrays(before_path(work, partition), arrays)
        return hash_bytes(b"".join(array.tobytes() for array in arrays.values()))


def before_path(work: Path, partition: str) -> Path:
    """Return the file of a partition."""
    return work / CLEAN / f"{partition}.before.npz"
