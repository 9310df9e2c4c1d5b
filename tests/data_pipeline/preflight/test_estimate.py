"""Intervals hold what is true in at least 95 % of the draws, by simulation; the arithmetic against brute force."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from data_pipeline.preflight.estimate import Clusters, Estimate, cost, most_duplicates, wilson

DRAWS = 300
BLOCKS = 32  # that are drawn


def corpus(kind: str, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(4000,) bytes of documents, and (4000,) bool: which of them a rule removes."""
    sizes = random.lognormal(6, 1, 4000) + 20
    rates = {
        "independent": np.full(4000, 0.3),
        "neighbours alike": np.repeat(random.beta(0.5, 2, 200), 20),
        "by size": 1 / (1 + sizes / 300),
        "rare": np.full(4000, 0.002),
    }
    return sizes, random.random(4000) < rates[kind]


@pytest.mark.parametrize("every", [4, 20, 100])
@pytest.mark.parametrize("kind", ["independent", "neighbours alike", "by size", "rare"])
def test_documents_kept_and_removed_lie_in_their_intervals(kind: str, every: int) -> None:
    hits = np.zeros(2)
    for seed in range(DRAWS):
        random = np.random.default_rng([seed, every])
        sizes, gone = corpus(kind, random)
        blocks = np.unique((np.cumsum(sizes) // (sizes.sum() / (every * BLOCKS))).astype(int), return_inverse=True)[1]
        starts = np.arange(0, blocks.max() + 1, every)
        chosen = starts + random.integers(every, size=len(starts))
        chosen = chosen[chosen <= blocks.max()]
        drawn, documents, removed = (np.bincount(blocks, of)[chosen] for of in (sizes, np.ones(4000), gone))
        clusters = Clusters(drawn, sizes.sum(), drawn.sum() / sizes.sum())
        for place, (counts, truth) in enumerate([(documents - removed, 4000 - gone.sum()), (removed, gone.sum())]):
            found = clusters.count(counts, documents)
            assert found.low <= found.value <= found.high
            hits[place] += found.low <= truth <= found.high
    assert (hits / DRAWS >= 0.95).all(), hits / DRAWS


def test_what_is_drawn_whole_is_known() -> None:
    clusters = Clusters(np.array([10.0, 30.0]), 40.0, 1.0)
    counts, documents = np.array([1.0, 2.0]), np.array([4.0, 5.0])
    assert clusters.count(counts, documents) == clusters.total(counts) == Estimate(3, 3, 3)
    assert clusters.share(counts, documents) == Estimate(1 / 3, 1 / 3, 1 / 3)


def test_one_cluster_bounds_nothing_above() -> None:
    one = Clusters(np.array([10.0]), 100.0, 0.1)
    found = one.total(np.array([3.0]))
    assert (found.value, found.low, found.high) == (30, 3, math.inf)
    assert found.to_json() == {"value": 30, "low": 3, "high": None}
    assert one.count(np.array([3.0]), np.array([3.0])).high == math.inf


def test_a_reason_that_was_not_seen_may_still_be_there() -> None:
    clusters = Clusters(np.full(40, 100.0), 400_000.0, 0.01)
    found = clusters.count(np.zeros(40), np.full(40, 5.0))
    assert (found.value, found.low) == (0, 0)
    assert 20_000 * 3 / 200 < found.high < 20_000 * 10 / 200  # the rule of three of 200 documents, and clustered


def test_sums_add_their_spreads_as_independent_ones() -> None:
    both = Estimate(10, 7, 14) + Estimate(20, 16, 23)
    assert (both.value, both.low, both.high) == (30, 25, 35)
    assert Estimate(5, -1, 9).within(0, 8) == Estimate(5, 0, 8)


def test_wilson_is_the_root_of_its_equation() -> None:
    for share, num in ((0.0, 20), (0.3, 50), (1.0, 7)):
        for end in wilson(share, num, 2.0):
            assert (share - end) ** 2 == pytest.approx(4.0 * end * (1 - end) / num, abs=1e-12)


@pytest.mark.parametrize(("group", "frac"), [(2, 0.2), (2, 0.5), (4, 0.2), (10, 0.3)])
def test_the_upper_estimate_of_duplicates_is_one(group: int, frac: float) -> None:
    """Groups of equal documents, each document a cluster of its own."""
    groups, random = 500, np.random.default_rng(group)
    truth = groups * (group - 1)
    drawn = random.random((DRAWS, groups, group)) < frac
    found = np.maximum(drawn.sum(axis=2) - 1, 0).sum(axis=1)
    assert (found / frac).mean() <= truth  # what a part shows is a lower bound
    assert np.mean([most_duplicates(each, 0, frac) >= truth for each in found.tolist()]) >= 0.95


def test_pairs_that_are_found_stand_for_those_that_are_not() -> None:
    """Every way to draw 3 of 6 clusters, two of which hold a pair: it is seen in 1 of 5, near 1/f²."""
    seen = [set(chosen) >= {1, 4} for chosen in combinations(range(6), 3)]
    assert sum(seen) / len(seen) == 1 / 5
    assert most_duplicates(0, 0, 0.01) == pytest.approx(-math.log(0.0125) / 0.01**2)
    assert most_duplicates(7, 2, 1.0) == 9
    assert most_duplicates(0, 5, 0.1) < most_duplicates(5, 0, 0.1)


def test_fixed_costs_are_told_from_those_that_grow() -> None:
    line = cost((25.0, 3.0 + 25 * 0.1), (100.0, 3.0 + 100 * 0.1))
    assert (line.fixed, line.rate) == (pytest.approx(3.0), pytest.approx(0.1))
    assert line.at(10_000) == pytest.approx(1003)
    assert line.most(10_000) == pytest.approx(1300)
    falling = cost((25.0, 9.0), (100.0, 5.0))
    assert (falling.fixed, falling.rate) == (5.0, 0.0)
    steep = cost((25.0, 0.0), (100.0, 5.0))
    assert (steep.fixed, steep.rate) == (0.0, 0.05)
    assert cost(None, (100.0, 5.0)).at(1000) == 50.0
