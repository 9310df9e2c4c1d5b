from __future__ import annotations

import random
import time
from collections import Counter
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from data_pipeline.dedup.edits import EDITS
from data_pipeline.dedup.lsh import SCurve, candidate_probability
from data_pipeline.dedup.minhash import MinHash
from data_pipeline.dedup.planted import (
    LENGTHS,
    LEVELS,
    MAX_PAIRS,
    WITHIN,
    Fared,
    Pair,
    Planted,
    containment,
    jaccard,
    judge_planted,
    plant,
    shingles,
)
from data_pipeline.documents import Removal

CURVE = SCurve.of(0.8, 25, 5)


def made_up(seed: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(f"w{rng.randrange(50_000)}" for _ in range(rng.randint(20, 900))) for _ in range(400)]


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return made_up(0)


@pytest.mark.parametrize("ngram", [1, 5, 13])
def test_pairs_have_the_similarities_that_are_said(texts: list[str], ngram: int) -> None:
    planted = plant(texts, ngram)
    assert MAX_PAIRS // 2 < len(planted.pairs) <= MAX_PAIRS
    assert len(planted.texts) == 2 * len(planted.pairs)
    for number, pair in enumerate(planted.pairs):
        one, other = (set(map(tuple, ngrams(text, ngram))) for text in planted.texts[2 * number : 2 * number + 2])
        assert LEVELS[pair.level] <= len(one & other) / len(one | other) < LEVELS[pair.level] + WITHIN
        assert [one, other] == planted.sets[2 * number : 2 * number + 2]


def ngrams(text: str, ngram: int) -> list[list[str]]:
    words = text.lower().split()
    return [words[i : i + ngram] for i in range(max(len(words) - ngram + 1, 1))]


def test_every_level_edit_and_length_is_there(texts: list[str]) -> None:
    planted = plant(texts, 5)
    levels, edits = Counter(pair.level for pair in planted.pairs), Counter(pair.edit for pair in planted.pairs)
    lengths = Counter(len(text.split()) for text in planted.texts[::2])
    assert min(levels.values()) >= 15 and len(levels) == len(LEVELS)
    assert min(edits.values()) >= 15 and set(edits) == set(EDITS)
    assert min(lengths.values()) >= 15 and set(lengths) == set(LENGTHS)


def test_a_document_of_less_than_a_shingle_is_one() -> None:
    assert shingles(["a", "b"], 5) == {("a", "b")}


@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.95])
def test_the_chosen_bands_find_nearly_all_and_remove_nothing_wrongly(texts: list[str], threshold: float) -> None:
    tested = MinHash(threshold=threshold, max_cluster=2).test_on(texts)
    assert tested is not None
    assert 0 < tested.similar < tested.planted or threshold == 0.5
    assert tested.found >= 0.98 * tested.similar
    assert tested.rightly == tested.removed > 0
    assert tested == MinHash(threshold=threshold).test_on(texts)


def test_by_containment_pairs_of_one_length_are_found(texts: list[str]) -> None:
    """That is what its bands are chosen for; what is much shorter than its whole is found by luck."""
    tested = MinHash(rule="containment").test_on(texts)
    assert tested is not None
    assert tested.rightly == tested.removed > 0
    by_edit = {each.name: each for each in tested.edits}
    for edit in ("a run of words replaced", "single words replaced"):
        assert by_edit[edit].found >= 0.95 * by_edit[edit].similar > 0


@pytest.mark.parametrize(("bands", "rows"), [(25, 5), (9, 13), (14, 8)])
def test_bands_see_what_the_curve_says(bands: int, rows: int) -> None:
    """Of the planted pairs of many samples, level by level; each bound is left with P < 1e-5."""
    seen, planted, expected = np.zeros(len(LEVELS)), np.zeros(len(LEVELS)), np.zeros(len(LEVELS))
    for seed in range(6):
        sample = made_up(seed)
        tested = MinHash(bands=bands, rows=rows).test_on(sample)
        assert tested is not None
        seen += [each.connected for each in tested.levels]
        pairs = plant(sample, 5)
        for number, pair in enumerate(pairs.pairs):
            planted[pair.level] += 1
            similarity = jaccard(*pairs.sets[2 * number : 2 * number + 2])
            expected[pair.level] += float(candidate_probability(similarity, bands, rows))
    low, high = (binom.ppf(tail, planted, expected / planted) for tail in (5e-6, 1 - 5e-6))
    assert (low <= seen).all() and (seen <= high).all()


def test_bands_that_miss_show_it(texts: list[str]) -> None:
    """13 rows of 9 bands, datasketch's own choice at 0.8, find four of ten pairs at the threshold."""
    tested = MinHash(threshold=0.8, bands=9, rows=13).test_on(texts)
    assert tested is not None
    assert tested.found < 0.9 * tested.similar
    at_threshold = next(level for level in tested.levels if level.name == "0.8")
    assert 0.2 < at_threshold.found / at_threshold.similar < 0.7


def test_removals_below_the_threshold_are_wrong(texts: list[str]) -> None:
    """What 0.6 removes, judged at 0.8: as if verification let pass what is too unlike."""
    planted = plant(texts, 5)
    pairs = [2 * number for number, pair in enumerate(planted.pairs) if LEVELS[pair.level] >= 0.6]
    removals = [Removal(at, "near_duplicate", kept=at + 1) for at in pairs]
    tested = judge_planted(planted, removals, {}, jaccard, 0.8, CURVE)
    assert tested.found == tested.similar == tested.rightly
    assert 0 < tested.rightly < 0.6 * tested.removed


def test_a_wrong_removal_and_one_without_a_kept_witness_are_counted() -> None:
    sets = [{(word,) for word in words} for words in ("abcd", "abcd", "abcd", "abce", "abcd", "xyz")]
    pairs = [Pair(9, "cut short"), Pair(2, "cut short"), Pair(0, "words deleted")]
    removals = [Removal(0, "x", kept=1), Removal(1, "x", kept=0), Removal(4, "x", kept=3), Removal(2, "x", kept=5)]
    tested = judge_planted(Planted([""] * 6, sets, pairs), removals, {0: 0, 1: 0, 2: 0, 4: 4}, jaccard, 0.6, CURVE)
    assert tested.levels == [Fared("0.5", 1, 0, 0, 0), Fared("0.6", 1, 0, 1, 1), Fared("0.95", 1, 1, 1, 1)]
    assert tested.edits == [Fared("words deleted", 1, 0, 0, 0), Fared("cut short", 2, 1, 2, 2)]
    assert (tested.removed, tested.rightly) == (4, 1)  # of 0 and 1 neither stays, 2 is no copy of 5
    assert str(tested) == (
        "3 planted pairs: 2 of 2 at the threshold or above were found, 1 of 4 removals right\n"
        "found by Jaccard similarity: 0.6: 1 of 1, 0.95: 1 of 1"
    )


def test_containment_is_of_the_removed_one() -> None:
    assert containment({("a",)}, {("a",), ("b",)}) == 1
    assert containment({("a",), ("b",)}, {("a",)}) == 0


@pytest.mark.parametrize("rule", ["jaccard", "containment"])
def test_too_little_text_is_no_test(rule: Any) -> None:
    assert MinHash(rule=rule).test_on(["a few words"]) is None
    assert MinHash(rule=rule).test_on([]) is None


def test_it_is_cheap_whatever_the_texts_are() -> None:
    """A hundred times the text costs what the text does: only the beginnings are taken."""
    dedup = MinHash()
    seconds = []
    for factor in (1, 100):
        sample = [text * factor for text in made_up(1)]
        dedup.test_on(sample[:2])
        started = time.process_time()
        dedup.test_on(sample)
        seconds.append(time.process_time() - started)
    assert seconds[1] < 5 * seconds[0]


def test_settings_that_miss_say_so(texts: list[str]) -> None:
    """By containment no shorter document stays for a longer one: with keep=first every second pair may stay whole."""
    first, longest = (
        MinHash(rule="containment", threshold=0.7, keep=keep).test_on(texts) for keep in ("first", "longest")
    )
    assert first is not None
    assert longest is not None
    assert first.misses
    assert not longest.misses


def test_the_self_test_says_nothing_however_long_it_takes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("foundation.progress.LINE_EVERY_S", 0.0)
    words = [f"word{number * 104_729 % 5_003}" for number in range(8_000)]
    texts = [" ".join(words[place : place + 120]) for place in range(0, 7_200, 120)]
    assert MinHash(threshold=0.8).test_on(texts) is not None
    assert capsys.readouterr().err == ""
