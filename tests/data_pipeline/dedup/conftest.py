"""Corpora with near-duplicates in them, and the rule of removal written as plainly as it can be."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from data_pipeline.dedup.dedup import Dedup, HeldTexts, NearResult
from foundation.progress import Meter

Removed = dict[int, tuple[int, float]]


@pytest.fixture
def random_corpus() -> Callable[[int, int], list[str]]:
    """Return make(seed, size): families of texts that grew from each other by changes of a few words."""

    def make(seed: int, size: int) -> list[str]:
        rng = random.Random(seed)
        vocabulary = [f"w{i}" for i in range(400)]
        texts = [rng.choices(vocabulary, k=rng.randint(3, 60)) for _ in range(max(2, size // 8))]
        while len(texts) < size:
            words = list(rng.choice(texts))
            for _ in range(rng.randint(0, 4)):
                place = rng.randrange(len(words))
                words[place : place + rng.randint(0, 2)] = rng.choices(vocabulary, k=rng.randint(0, 2))
            texts.append(words or ["w0"])
        rng.shuffle(texts)
        return [" ".join(words) for words in texts]

    return make


@pytest.fixture
def run_near() -> Callable[..., NearResult]:
    """Return run(dedup, texts, parts=1): the near-duplicates of texts that arrive in so many partitions."""

    def run(dedup: Dedup, texts: list[str], parts: int = 1) -> NearResult:
        cuts = [round(i * len(texts) / parts) for i in range(parts + 1)]
        pieces = [texts[start:stop] for start, stop in itertools.pairwise(cuts)]
        features = [dedup.features(pa.array(piece, pa.large_string())) for piece in pieces]
        meter = Meter("near", len(texts), "docs")
        held = HeldTexts(lambda positions: [texts[i] for i in positions.tolist()])
        result = dedup.near(features, held, meter)
        assert meter.done == len(texts)
        return result

    return run


@pytest.fixture
def shingles_of() -> Callable[[str, int], set[str]]:
    """Return the definition: n-grams of `text.lower().split()`, fewer words: one shingle of all."""

    def shingles(text: str, ngram: int) -> set[str]:
        words = text.lower().split()
        return {" ".join(words[i : i + ngram]) for i in range(max(1, len(words) - ngram + 1))}

    return shingles


@pytest.fixture
def greedy_rule(shingles_of: Callable[[str, int], set[str]]) -> Callable[..., Removed]:
    """Return rule(texts, signatures, bands, rows, threshold, ngram, keep): position -> (witness, similarity)."""

    def rule(
        texts: list[str], signatures: np.ndarray, bands: int, rows: int, threshold: float, ngram: int, keep: str
    ) -> Removed:
        sets = [shingles_of(text, ngram) for text in texts]
        cut = [[tuple(row[b * rows : (b + 1) * rows].tolist()) for b in range(bands)] for row in signatures]
        order = list(range(len(texts)))
        if keep == "longest":
            order.sort(key=lambda i: (-len(texts[i]), i))
        kept: list[int] = []
        removed: Removed = {}
        for i in order:
            shared = {k: sum(x == y for x, y in zip(cut[i], cut[k], strict=True)) for k in kept}
            for k in sorted((k for k in kept if shared[k]), key=lambda k: (-shared[k], order.index(k))):
                similarity = len(sets[i] & sets[k]) / len(sets[i] | sets[k])
                if similarity >= threshold:
                    removed[i] = (k, similarity)
                    break
            else:
                kept.append(i)
        return removed

    return rule
