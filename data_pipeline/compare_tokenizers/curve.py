"""What a vocabulary's size pays: bytes per token with the first 2^k merges alone, of each candidate that is a BPE."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline.compare_tokenizers.candidates import Candidate
from data_pipeline.compare_tokenizers.sample import PIECE_BYTES, Sample, runs
from data_pipeline.compare_tokenizers.truncate import sizes_of, truncate
from data_pipeline.executors.executor import Executor
from data_pipeline.tokenize.encoder import Encoder
from data_pipeline.tokenize.sample import choose
from foundation.progress import progress


@dataclass(frozen=True, slots=True)
class Point:
    """A vocabulary of fewer merges, and what text is in it."""

    num_merges: int
    vocab_size: int
    bytes_per_token: float


class _Item(NamedTuple):
    candidate: int
    num_merges: int


def curves(
    sample: Sample, candidates: Sequence[Candidate], curve_bytes: int, seed: int, executor: Executor
) -> list[list[Point]]:
    """Return the points of each candidate, by their sizes; none of one that is no BPE.

    Args:
        curve_bytes: text that is encoded for each point; 0: there are no points.
    """
    points: list[list[Point]] = [[] for _ in candidates]
    items = [_Item(place, size) for place, each in enumerate(candidates) for size in sizes_of(each.tokenizer_json)]
    if not curve_bytes or not items:
        return points
    sizes = sample.sizes
    chosen = choose(sample.files, sample.rows, sizes, curve_bytes, seed)
    texts = sample.texts.take(pa.array(chosen))
    with progress("fewer merges", len(items), "tokenizers") as meter:
        for item, point in zip(items, executor.map(_Encode(list(candidates), texts), items), strict=True):
            points[item.candidate].append(point)
            meter.add(1)
    return points


class _Encode:
    """Runs in a worker: the texts by one truncated tokenizer."""

    def __init__(self, candidates: list[Candidate], texts: pa.LargeStringArray) -> None:
        self._candidates, self._texts = candidates, texts

    def __call__(self, item: _Item) -> Point:
        candidate = self._candidates[item.candidate]
        fewer = truncate(candidate.tokenizer_json, item.num_merges)
        encoder = Encoder(fewer.tokenizer_json, candidate.eot_token)
        num_bytes = num_tokens = 0
        for text_bytes, tokens in self._counts(encoder):
            num_bytes, num_tokens = num_bytes + text_bytes, num_tokens + tokens
        return Point(item.num_merges, fewer.vocab_size, num_bytes / max(num_tokens, 1))

    def _counts(self, encoder: Encoder) -> Iterator[tuple[int, int]]:
        sizes = np.asarray(pc.binary_length(self._texts), np.int64)
        for start, stop in runs(sizes, PIECE_BYTES):
            _, lengths = encoder.encode(self._texts[start:stop])
            yield int(sizes[start:stop].sum()), int(lengths.sum(dtype=np.int64)) - (stop - start)
