"""Real documents, each beside edited copies of itself, and every pair of them compared by plain sets."""

from __future__ import annotations

import itertools
import random
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.dedup.dedup import NearResult
from data_pipeline.dedup.minhash import MinHash

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
Sets = list[set[str]]


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Pieces of the standard library's source, each beside four copies, more and more changed, some cut short."""
    rng = random.Random(0)
    found: list[str] = []
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))[:100]:
        words = path.read_text(encoding="utf-8", errors="replace").split()[:600]
        if len(words) < 300:
            continue
        found.append(" ".join(words))
        for edits in (1, 3, 8, 16):
            copy = list(words)
            for _ in range(rng.randint(1, edits)):
                place = rng.randrange(len(copy))
                copy[place : place + rng.randint(0, 6)] = rng.choices(words, k=rng.randint(0, 3))
            found.append(" ".join(copy[: len(copy) * 3 // 4 if rng.random() < 0.3 else len(copy)]))
    rng.shuffle(found)
    return found


@pytest.fixture(scope="module")
def jaccards(texts: list[str]) -> tuple[Sets, dict[tuple[int, int], float]]:
    """The sets of shingles, and the Jaccard similarity of all pairs (earlier, later) that have a shingle in common."""
    sets = []
    for text in texts:
        words = text.lower().split()
        sets.append({" ".join(words[i : i + 5]) for i in range(max(1, len(words) - 4))})
    pairs = {(i, k): len(sets[i] & sets[k]) for i, k in itertools.combinations(range(len(sets)), 2)}
    return sets, {(i, k): n / (len(sets[i]) + len(sets[k]) - n) for (i, k), n in pairs.items() if n}


@pytest.mark.parametrize("threshold", THRESHOLDS)
@pytest.mark.parametrize("rule", ["jaccard", "containment"])
def test_recall_against_all_pairs(
    texts: list[str],
    jaccards: tuple[Sets, dict[tuple[int, int], float]],
    run_near: Callable[..., NearResult],
    rule: Any,
    threshold: float,
) -> None:
    """Of the pairs that the rule is about, one in 200 at most is left whole; every removal is by a kept one."""
    sets, pairs = jaccards
    result = run_near(MinHash(threshold=threshold, rule=rule), texts)
    removed = {removal.position: removal for removal in result.removals}
    for position, removal in removed.items():
        assert removal.kept is not None
        assert removal.kept not in removed
        mine, other = sets[position], sets[removal.kept]
        exact = len(mine & other) / len(mine if rule == "containment" else mine | other)
        assert removal.similarity == exact >= threshold
        assert rule == "jaccard" or len(other) >= len(mine)

    def is_sought(i: int, k: int, jaccard: float) -> bool:
        if rule == "jaccard":
            return jaccard >= threshold
        smaller = min(len(sets[i]), len(sets[k]))
        return len(sets[i] & sets[k]) >= threshold * smaller and jaccard >= threshold / (2 - threshold)

    sought = [pair for pair, jaccard in pairs.items() if is_sought(*pair, jaccard)]
    left = [pair for pair in sought if not removed.keys() & set(pair)]
    assert len(sought) > 50
    assert len(left) <= 0.005 * len(sought)
