"""Cuts: spans that a stage takes out of documents which stay."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from data_pipeline.documents import utf8_buffers
from foundation.hashes import hash_bytes, hash_json


def _none() -> np.ndarray:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Cuts:
    """Spans of texts, ascending; no two of one document overlap.

    Attributes:
        documents: (c,) int64, whose text each span is of: an index of the corpus, or a row of a partition.
        starts, stops: (c,) int64, UTF-8 bytes in the text as the stage saw it; on borders of code points.
    """

    documents: np.ndarray = field(default_factory=_none)
    starts: np.ndarray = field(default_factory=_none)
    stops: np.ndarray = field(default_factory=_none)

    def __len__(self) -> int:
        return len(self.documents)

    def within(self, first: int, stop: int) -> Cuts:
        """Return the cuts in the documents [first, stop), which then count from 0."""
        spans = slice(*np.searchsorted(self.documents, [first, stop]).tolist())
        return Cuts(self.documents[spans] - first, self.starts[spans], self.stops[spans])

    def num_bytes(self, num_docs: int) -> np.ndarray:
        """Return how many bytes are cut out of each document, (num_docs,) int64."""
        cut = np.zeros(num_docs, np.int64)
        np.add.at(cut, self.documents, self.stops - self.starts)
        return cut

    def apply(self, texts: pa.LargeStringArray) -> pa.LargeStringArray:
        """Return the texts without the spans; `documents` are places among them."""
        if not len(self):
            return texts
        data, offsets = utf8_buffers(texts)
        steps = np.zeros(offsets[-1] - offsets[0] + 1, np.int8)
        firsts = offsets[self.documents] - offsets[0]
        # a span may begin where the one before ends: the two steps meet in one place and cancel
        np.add.at(steps, firsts + self.starts, 1)
        np.add.at(steps, firsts + self.stops, -1)
        kept = data[offsets[0] : offsets[-1]][np.cumsum(steps[:-1], dtype=np.int8) == 0]
        ends = offsets - offsets[0]
        ends[1:] -= np.cumsum(self.num_bytes(len(texts)))
        cut = pa.LargeStringArray.from_buffers(len(texts), pa.py_buffer(ends), pa.py_buffer(kept))
        cut.validate(full=True)  # a span that begins within a code point is a defect of who cut it
        return cut

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what a decision's file holds of them."""
        return {"cut_documents": self.documents, "cut_starts": self.starts, "cut_stops": self.stops}

    @classmethod
    def of(cls, decision: dict[str, np.ndarray]) -> Cuts:
        """Return the cuts of a decision, none where it has none."""
        return cls(*(decision[name] for name in cls().arrays())) if "cut_documents" in decision else cls()

    def hash(self) -> str:
        """Return the hash of all spans."""
        return hash_json([hash_bytes(array.astype("<i8").tobytes()) for array in self.arrays().values()])


def joined(parts: list[Cuts]) -> Cuts:
    """Return the cuts of parts that follow each other."""
    columns = zip(*(part.arrays().values() for part in [Cuts(), *parts]), strict=True)
    return Cuts(*(np.concatenate(column) for column in columns))
