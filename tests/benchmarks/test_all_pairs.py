"""The truth of the benchmark is the naive one: every pair of documents, their sets compared whole."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest


@pytest.fixture(scope="module")
def all_pairs(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("all_pairs")


def related_texts(seed: int) -> list[str]:
    """Texts of few words, some made of others: many pairs at every similarity, copies, and texts without a shingle."""
    rng = random.Random(seed)
    words = [f"{letter}{number}" for letter in "aB" for number in range(rng.choice([3, 30]))]
    texts = ["", "  \n", "one", "One\n"]
    for _ in range(70):
        text = rng.choices(words, k=rng.randint(1, 40))
        if rng.random() < 0.7:
            text = rng.choice(texts).split() + text[: rng.randint(0, 4)]
        texts.append(rng.choice([" ", "\t "]).join(text))
    rng.shuffle(texts)
    return texts


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("threshold", [0.05, 0.5, 0.8, 1.0])
def test_equals_the_double_loop(all_pairs: ModuleType, seed: int, threshold: float) -> None:
    texts, ngram = related_texts(seed), 1 + seed % 5
    sets = []
    for text in texts:
        words = text.lower().split()
        sets.append({tuple(words[i : i + ngram]) for i in range(max(1, len(words) - ngram + 1))})
    expected = {}
    for i, k in itertools.combinations(range(len(texts)), 2):
        similarity = len(sets[i] & sets[k]) / len(sets[i] | sets[k])
        if similarity >= threshold:
            expected[i, k] = similarity
    found = all_pairs.all_pairs(texts, threshold, ngram)
    keys = list(zip(found.first.tolist(), found.second.tolist(), strict=True))
    assert dict(zip(keys, found.similarity.tolist(), strict=True)) == expected
    assert len(keys) == len(set(keys)) > 0


def test_removals_are_judged_against_the_truth(all_pairs: ModuleType) -> None:
    pairs = all_pairs.Pairs(np.array([0, 1, 3]), np.array([1, 2, 4]), np.array([0.8, 0.95, 0.85]))
    judged = all_pairs.judge(pairs, {0, 2, 3, 4}, 6, (0.8, 0.9, 1.0))  # 1 goes for 0, 5 for nothing
    assert (judged.removed, judged.without_witness) == (2, 1)
    assert judged.recall == pytest.approx(2 / 3)
    assert judged.recall_of[:2] == [0.5, 1.0]
    assert np.isnan(judged.recall_of[2])
    assert all_pairs.judge(pairs, {1, 4, 5}, 6, (0.8,)).without_witness == 0
    assert all_pairs.judge(pairs, {2, 4, 5}, 6, (0.8,)).without_witness == 1  # 0 is like 1, which went as well
