"""A classifier's model made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data_pipeline.clean.linear_model import LinearModel
from data_pipeline.clean.ngrams import Ngrams, count_one

NGRAMS = Ngrams(1, (), 1 << 10)


def write_model(path: Path, good: str, bad: str, weight: float) -> Path:
    """Write one to which a word is good, and another one bad."""
    weights = np.zeros(NGRAMS.num_buckets, np.float32)
    for word, value in ((good, weight), (bad, -weight)):
        (bucket,) = count_one(word, NGRAMS)
        weights[bucket] = value
    path.write_bytes(LinearModel(NGRAMS, weights, 0.0).to_bytes())
    return path
