"""Some texts of a finished corpus, from a few of its partitions: what the report looks at its tokenizer by."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from data_pipeline.stages.view import View
from data_pipeline.tokenize.sample import choose

SAMPLE_BYTES = 2_000_000
MOST_PARTITIONS = 4  # that are read: each is verified as a whole
SEED = 0


def some_texts(view: View) -> Iterator[pa.LargeStringArray]:
    """Yield about SAMPLE_BYTES of texts, held-out ones too, of partitions that lie evenly in the corpus."""
    ends = np.cumsum(np.concatenate([[0], view.alive]), dtype=np.int64)[view.starts]
    filled = np.flatnonzero(np.diff(ends))
    places: np.ndarray = np.unique(np.linspace(0, len(filled) - 1, MOST_PARTITIONS).round().astype(np.int64))
    mask = np.zeros(len(view.alive), bool)
    for number in filled[places].tolist():
        span = slice(*view.starts[number : number + 2].tolist())
        mask[span] = view.alive[span]
    indices = np.flatnonzero(mask)
    chosen = indices[choose(view.files[indices], view.rows[indices], view.sizes[indices], SAMPLE_BYTES, SEED)]
    mask[:] = False
    mask[chosen] = True
    for piece in view.slices(mask):
        yield piece.texts()
