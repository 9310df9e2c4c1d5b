from __future__ import annotations

import random
from typing import Any

import pytest

from data_pipeline.dedup.minhash import MinHash
from data_pipeline.dedup.planted import (
    MAX_PAIRS,
    SIMILARITIES,
    SelfTest,
    containment,
    jaccard,
    judge_planted,
    plant,
)
from data_pipeline.documents import Removal


@pytest.fixture(scope="module")
def texts() -> list[str]:
    rng = random.Random(0)
    return [" ".join(f"w{rng.randrange(50_000)}" for _ in range(rng.randint(20, 900))) for _ in range(400)]


def test_pairs_have_the_similarities_that_are_said(texts: list[str]) -> None:
    planted = plant(texts, 5)
    assert len(planted.texts) == 2 * MAX_PAIRS
    for number in range(MAX_PAIRS):
        wanted = SIMILARITIES[number % len(SIMILARITIES)]
        assert jaccard(*planted.sets[2 * number : 2 * number + 2]) == pytest.approx(wanted, abs=0.006)


@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("rule", ["jaccard", "containment"])
def test_the_chosen_bands_find_nearly_all_and_remove_nothing_wrongly(
    texts: list[str], rule: Any, threshold: float
) -> None:
    tested = MinHash(threshold=threshold, rule=rule, max_cluster=2).test_on(texts)
    assert tested is not None
    assert tested.planted == MAX_PAIRS
    assert tested.similar > 0
    assert tested.found >= 0.98 * tested.similar
    assert tested.rightly == tested.removed > 0
    assert tested == MinHash(threshold=threshold, rule=rule).test_on(texts)


def test_bands_that_miss_show_it(texts: list[str]) -> None:
    """13 rows of 9 bands, datasketch's own choice at 0.8, find four of ten pairs at the threshold."""
    tested = MinHash(threshold=0.8, bands=9, rows=13).test_on(texts)
    assert tested is not None
    assert tested.found < 0.9 * tested.similar


def test_a_wrong_removal_and_one_without_a_kept_witness_are_counted(texts: list[str]) -> None:
    planted = plant(texts, 5)
    removals = [Removal(0, "x", kept=1), Removal(1, "x", kept=0), Removal(4, "x", kept=9), Removal(19, "x", kept=18)]
    tested = judge_planted(planted, removals, jaccard, 0.94)
    assert tested == SelfTest(planted=200, similar=tested.similar, found=1, removed=4, rightly=1)
    assert tested.similar <= 20
    assert str(tested).endswith("were found, 1 of 4 removals right")


def test_containment_is_of_the_removed_one() -> None:
    assert containment({"a"}, {"a", "b"}) == 1
    assert containment({"a", "b"}, {"a"}) == 0


def test_too_little_text_is_no_test() -> None:
    assert MinHash().test_on(["a few words"]) is None
    assert MinHash().test_on([]) is None
