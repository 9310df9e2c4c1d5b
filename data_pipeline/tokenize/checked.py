"""A fast engine that is held against the reference on a sample of each batch that it encodes."""

from __future__ import annotations

import sys

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline.tokenize.checks import SHOWN_CHARS
from data_pipeline.tokenize.engines import Engine

# of each batch (a partition's 64 MiB as a rule), encoded twice: 10 ms of tokenizers
SAMPLE_CHARS = 1 << 15  # of the first texts
SPREAD_TEXTS, SPREAD_CHARS = 32, 1 << 10  # of texts all over the batch, the beginnings


class CheckedEngine(Engine):
    """Encodes by `fast`; a batch whose sample gives other ids than those of `reference` by `reference`, and says so.

    What is checked depends on the batch alone, so the ids are the same for any number of workers.

    Attributes:
        differed: why the last batch went to the reference; empty where it did not.
    """

    def __init__(self, fast: Engine, reference: Engine) -> None:
        self._fast, self._reference, self.name = fast, reference, fast.name
        self.differed = ""

    def encode(self, texts: pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
        sample, self.differed = sample_of(texts), ""
        place = first_difference(self._fast, self._reference, sample)
        if place is None:
            return self._fast.encode(texts)
        begins = sample[place].as_py()[:SHOWN_CHARS]
        self.differed = f"{self._fast.name} gives other ids for the text that begins {begins!r}"
        print(f"{self.differed}: {self._reference.name} encodes its batch of {len(texts):,}", file=sys.stderr)
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


def sample_of(texts: pa.LargeStringArray) -> pa.LargeStringArray:
    """Return the first texts, SAMPLE_CHARS bytes' worth of them, and beginnings of SPREAD_TEXTS from there to the end;
    of a long text its beginning alone."""
    ends = np.cumsum(np.asarray(pc.binary_length(texts), np.int64))
    num_first = min(int(np.searchsorted(ends, SAMPLE_CHARS)) + 1, len(texts))
    first = pc.utf8_slice_codeunits(texts.slice(0, num_first), 0, SAMPLE_CHARS)
    rest = np.unique(np.linspace(num_first, len(texts) - 1, SPREAD_TEXTS).astype(np.int64))
    if num_first == len(texts):
        return first
    return pa.concat_arrays([first, pc.utf8_slice_codeunits(texts.take(pa.array(rest)), 0, SPREAD_CHARS)])
