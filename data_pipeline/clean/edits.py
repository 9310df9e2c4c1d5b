"""Spans of texts and what is put in their place: rules find them, here they are made and shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline.clean.rules import EXAMPLES, Example, with_text
from data_pipeline.compiled import array_kernel
from data_pipeline.documents import utf8_buffers

START, STOP, KIND = range(3)  # columns of what a kernel finds
_NUM_COLUMNS = 3
_CONTEXT_BYTES = 40  # that an example shows on either side


@dataclass(frozen=True, slots=True, eq=False)
class Edits:
    """Spans to be replaced, ascending, none empty, overlapping another or reaching over the end of a text.

    Attributes:
        starts, stops: (n,) int64 places in the bytes of the texts' array.
        pieces: what may be put in place of a span, as UTF-8.
        which: (n,) int64, the piece of each span.
    """

    starts: np.ndarray
    stops: np.ndarray
    pieces: list[bytes]
    which: np.ndarray

    @classmethod
    def removing(cls, starts: np.ndarray, stops: np.ndarray) -> Edits:
        """Return edits that put nothing in place of these spans."""
        return cls(starts, stops, [b""], np.zeros(len(starts), np.int64))

    def __len__(self) -> int:
        return len(self.starts)

    def rows(self, chosen: np.ndarray) -> Edits:
        """Return some of them; chosen: (n,) bool."""
        return Edits(self.starts[chosen], self.stops[chosen], self.pieces, self.which[chosen])


def spans_of(kernel: Callable[..., int], *args: Any) -> np.ndarray:
    """Return what a kernel finds, (n, 3) int64: START and STOP in the bytes, KIND.

    Args:
        kernel: fills as many rows of its last argument as there are, and returns how many there would have been. So
            text without a find is read once, other text twice.
        args: its arguments but the last.
    """
    number = kernel(*args, np.empty((0, _NUM_COLUMNS), np.int64))
    spans = np.empty((number, _NUM_COLUMNS), np.int64)
    if number:
        kernel(*args, spans)
    return spans


def edited(texts: pa.LargeStringArray, edits: Edits) -> pa.LargeStringArray:
    """Return the texts with the pieces in place of the spans; as they are, without a copy, where there is none."""
    if not len(edits):
        return texts
    data, offsets = utf8_buffers(texts)
    piece_offsets = np.cumsum([0, *map(len, edits.pieces)], dtype=np.int64)
    pieces = np.frombuffer(b"".join(edits.pieces), dtype=np.uint8)
    added = int(np.diff(piece_offsets)[edits.which].sum())
    out = np.empty(offsets[-1] - offsets[0] - int((edits.stops - edits.starts).sum()) + added, dtype=np.uint8)
    out_offsets = np.zeros(len(offsets), dtype=np.int64)
    _splice(data, offsets, edits.starts, edits.stops, edits.which, pieces, piece_offsets, out, out_offsets)
    return pa.LargeStringArray.from_buffers(len(texts), pa.py_buffer(out_offsets), pa.py_buffer(out))


def with_texts(batch: pa.RecordBatch, texts: dict[int, str]) -> pa.RecordBatch:
    """Return the batch with other texts at these positions, in ascending order."""
    if not texts:
        return batch
    mask = pa.array([position in texts for position in range(batch.num_rows)])
    return with_text(
        batch, pc.replace_with_mask(batch.column("text"), mask, pa.array(texts.values(), pa.large_string()))
    )


def rows_of(batch: pa.RecordBatch, places: np.ndarray) -> np.ndarray:
    """Return the position in the batch of the document that each place of its texts' bytes lies in, (n,) int64."""
    _, offsets = utf8_buffers(batch.column("text"))
    return np.searchsorted(offsets, places, side="right") - 1


def examples_of(kind: str, batch: pa.RecordBatch, edits: Edits, chosen: np.ndarray) -> list[Example]:
    """Return the first edits as examples, each by itself within the text around it.

    Args:
        chosen: (n,) bool, which edits are of this kind.
    """
    first = np.flatnonzero(chosen)[:EXAMPLES]
    data, offsets = utf8_buffers(batch.column("text"))
    found = []
    for edit, position in zip(first.tolist(), rows_of(batch, edits.starts[first]).tolist(), strict=True):
        start, stop = int(edits.starts[edit]), int(edits.stops[edit])
        left = data[max(start - _CONTEXT_BYTES, offsets[position]) : start].tobytes().decode(errors="ignore")
        right = data[stop : min(stop + _CONTEXT_BYTES, offsets[position + 1])].tobytes().decode(errors="ignore")
        old = data[start : min(stop, start + 4 * _CONTEXT_BYTES)].tobytes().decode(errors="ignore")
        new = edits.pieces[int(edits.which[edit])].decode()
        row = batch.column("row")[position].as_py()
        found.append(Example(kind, row, left + old + right, left + new + right))
    return found


@array_kernel
def _splice(
    data: Any, offsets: Any, starts: Any, stops: Any, which: Any, pieces: Any, piece_offsets: Any, out: Any, ends: Any
) -> None:
    """Fill `out` (n,) uint8 and `ends` (texts + 1,) int64, whose first is 0."""
    filled, edit = 0, 0
    for text in range(offsets.size - 1):
        place, stop = offsets[text], offsets[text + 1]
        while edit < starts.size and starts[edit] < stop:
            filled = _copy(data, place, starts[edit], out, filled)
            piece = which[edit]
            filled = _copy(pieces, piece_offsets[piece], piece_offsets[piece + 1], out, filled)
            place = stops[edit]
            edit += 1
        filled = _copy(data, place, stop, out, filled)
        ends[text + 1] = filled


@array_kernel
def _copy(data: Any, start: int, stop: int, out: Any, filled: int) -> int:
    out[filled : filled + stop - start] = data[start:stop]
    return filled + stop - start
