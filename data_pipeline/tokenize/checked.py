"""A fast engine that is held against the reference on the beginning of each batch that it encodes."""

from __future__ import annotations

import sys

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline.tokenize.checks import SHOWN_CHARS
from data_pipeline.tokenize.engines import Engine

# of each batch (a partition's 64 MiB as a rule), encoded twice: 10 ms of tokenizers
SAMPLE_CHARS = 1 << 16


class CheckedEngine(Engine):
    """Encodes by `fast`; a batch whose beginning gives other ids than those of `reference` by `reference`, and says so.

    What is checked depends on the batch alone, so the ids are the same for any number of workers.
    """

    def __init__(self, fast: Engine, reference: Engine) -> None:
        self._fast, self._reference, self.name = fast, reference, fast.name

    def encode(self, texts: pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
        sample = beginning(texts)
        place = first_difference(self._fast, self._reference, sample)
        if place is None:
            return self._fast.encode(texts)
        print(
            f"{self._fast.name} gives other ids than {self._reference.name} for the text that begins "
            f"{sample[place].as_py()[:SHOWN_CHARS]!r}: {self._reference.name} encodes its batch of {len(texts):,}",
            file=sys.stderr,
        )
        return self._reference.encode(texts)


def first_difference(fast: Engine, reference: Engine, texts: pa.LargeStringArray) -> int | None:
    """Return the place of the first text for which two engines give other ids; None where they agree."""
    (ids, bounds), (expected, offsets) = fast.encode(texts), reference.encode(texts)
    if np.array_equal(bounds, offsets) and np.array_equal(ids, expected):
        return None
    for place in range(len(texts)):
        mine = ids[bounds[place] : bounds[place + 1]]
        if not np.array_equal(mine, expected[offsets[place] : offsets[place + 1]]):
            return place
    raise AssertionError("the ids differ, but those of no text do")


def beginning(texts: pa.LargeStringArray) -> pa.LargeStringArray:
    """Return the first texts, the first SAMPLE_CHARS bytes' worth of them, each of SAMPLE_CHARS characters at most."""
    ends = np.cumsum(np.asarray(pc.binary_length(texts), np.int64))
    few = texts.slice(0, int(np.searchsorted(ends, SAMPLE_CHARS)) + 1)
    return pc.utf8_slice_codeunits(few, 0, SAMPLE_CHARS)
