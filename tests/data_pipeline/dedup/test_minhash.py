from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from data_pipeline.dedup.corpus import TextsInMemory
from data_pipeline.dedup.dedup import NearResult
from data_pipeline.dedup.minhash import MinHash
from foundation.errors import SettingError

RunNear = Callable[..., NearResult]


def pair(num_shingles: int, num_shared: int, name: str) -> tuple[str, str]:
    """Two texts of distinct words with so many shingles each, of which the first so many are the same."""
    words = [f"{name}{i}" for i in range(num_shingles + 4)]
    other = [word if i < num_shared + 4 else f"{word}x" for i, word in enumerate(words)]
    return " ".join(words), " ".join(other)


def test_compatible_removes_what_datasketch_s_own_signatures_remove(random_corpus: Any, run_near: RunNear) -> None:
    texts = random_corpus(7, 400)
    found = {engine: run_near(MinHash(threshold=0.6, engine=engine), texts) for engine in ("compatible", "datasketch")}
    one, other = found.values()
    assert list(one.removals) == list(other.removals)
    assert one.counts == other.counts
    assert one.nearest.tolist() == other.nearest.tolist()
    assert len(one.removals) > 50


def test_planted_pairs_at_the_threshold_go_and_those_just_below_stay(run_near: RunNear) -> None:
    """720 shingles, s shared: Jaccard s / (1440 - s); at 640 exactly 0.8, at 639 0.798."""
    texts: list[str] = []
    for number in range(100):
        texts += pair(720, 640, f"at{number}_")
        texts += pair(720, 639, f"below{number}_")
        texts += pair(720, 680, f"above{number}_")
    result = run_near(MinHash(threshold=0.8, keep="first"), texts)
    removed = {removal.position: removal for removal in result.removals}
    assert set(removed) == {6 * i + 1 for i in range(100)} | {6 * i + 5 for i in range(100)}
    assert all(removal.kept == position - 1 for position, removal in removed.items())
    assert {removal.similarity for removal in removed.values()} == {640 / 800, 680 / 760}


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.9, 1.0])
@pytest.mark.parametrize("keep", ["first", "longest"])
@pytest.mark.parametrize("seed", range(5))
def test_removes_what_the_plain_rule_removes(
    random_corpus: Any, run_near: RunNear, greedy_rule: Any, seed: int, keep: Any, threshold: float
) -> None:
    texts = random_corpus(seed, 120)
    dedup = MinHash(threshold=threshold, num_perm=64, ngram=3, bands=16, rows=2, keep=keep)
    result = run_near(dedup, texts)
    signatures = dedup.features(pa.array(texts, pa.large_string())).signatures
    expected = greedy_rule(texts, signatures, 16, 2, threshold, 3, keep)
    assert {r.position: (r.kept, r.similarity) for r in result.removals} == expected
    assert len(expected) > 5
    assert len(result.removals) == len(expected)
    assert [r.position for r in result.removals] == sorted(expected)


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.9])
def test_every_removal_has_a_kept_witness_and_hardly_a_pair_survives(
    random_corpus: Any, run_near: RunNear, shingles_of: Any, threshold: float
) -> None:
    texts = random_corpus(99, 300)
    result = run_near(MinHash(threshold=threshold), texts)
    sets = [shingles_of(text, 5) for text in texts]

    def similarity(i: int, k: int) -> float:
        return len(sets[i] & sets[k]) / len(sets[i] | sets[k])

    removed = {removal.position for removal in result.removals}
    kept = [i for i in range(len(texts)) if i not in removed]
    for removal in result.removals:
        assert removal.kept not in removed
        assert removal.similarity == similarity(removal.position, removal.kept) >= threshold
    survivors = sum(similarity(i, k) >= threshold for n, i in enumerate(kept) for k in kept[:n])
    assert survivors <= 0.005 * len(removed)


def test_a_chain_is_not_a_verdict(run_near: RunNear) -> None:
    """Neighbours are similar, the ends are not: the middle goes with its witness, the end far from it stays."""
    words = [f"w{i}" for i in range(104 + 12)]
    chain = [
        " ".join(words[shift : shift + 104]) for shift in (0, 6, 12)
    ]  # J 94/106 between neighbours, 88/112 between ends
    result = run_near(MinHash(threshold=0.85, keep="first"), chain)
    assert [(r.position, r.kept, r.similarity) for r in result.removals] == [(1, 0, 94 / 106)]
    assert (result.counts["clusters"], result.counts["largest_cluster"]) == (1, 3)
    assert [r.cluster for r in result.removals] == [0]
    assert result.clusters is not None
    assert result.clusters.documents.tolist() == [0, 1, 2]  # the one that stays far from its end among them


def test_every_removal_says_its_cluster(run_near: RunNear) -> None:
    texts = [f"{prefix}{' '.join(f'{prefix}{i}' for i in range(100))}{end}" for end in ("", " x") for prefix in "ab"]
    removals = run_near(MinHash(keep="first"), texts).removals
    assert [(r.position, r.kept, r.cluster) for r in removals] == [(2, 0, 0), (3, 1, 1)]


def test_the_longest_stays_unless_told_otherwise(run_near: RunNear) -> None:
    short = " ".join(f"w{i}" for i in range(100))
    texts = [short, short + " and some more", short + " and"]
    assert [(r.position, r.kept) for r in run_near(MinHash(), texts).removals] == [(0, 1), (2, 1)]
    assert [(r.position, r.kept) for r in run_near(MinHash(keep="first"), texts).removals] == [(1, 0), (2, 0)]


def test_partitions_do_not_show(random_corpus: Any, run_near: RunNear) -> None:
    texts = random_corpus(5, 200)
    one, three, all_ = (run_near(MinHash(threshold=0.6), texts, parts) for parts in (1, 3, 200))
    assert list(one.removals) == list(three.removals) == list(all_.removals)
    assert one.counts == three.counts == all_.counts


def test_the_order_of_documents_does_not_show_where_no_two_are_as_long(random_corpus: Any, run_near: RunNear) -> None:
    """Order decides between equals alone: the longest stays, and the first of the longest."""
    by_length = {len(text): text for text in random_corpus(11, 600)}
    texts = list(by_length.values())
    seen = []
    for seed in range(3):
        random.Random(seed).shuffle(texts)
        removals = run_near(MinHash(threshold=0.5), texts).removals
        seen.append({(texts[r.position], texts[r.kept or 0], r.similarity) for r in removals})
    assert seen[0] == seen[1] == seen[2]
    assert len(seen[0]) > 20


@pytest.mark.bad_input(44)
def test_texts_shorter_than_a_shingle(run_near: RunNear) -> None:
    texts = ["a b c", "a b", "a b c d", "A  B\tc", "", " "]
    assert [(r.position, r.kept) for r in run_near(MinHash(keep="first"), texts).removals] == [(3, 0), (5, 4)]


def test_no_texts_no_removals(run_near: RunNear) -> None:
    assert not run_near(MinHash(), []).removals
    assert not run_near(MinHash(), ["one text alone"]).removals
    assert not MinHash().near([], TextsInMemory([])).removals


def test_describes_its_curve() -> None:
    assert "25 bands of 5 rows" in MinHash().describe()


@pytest.mark.parametrize(
    ("settings_", "key"),
    [
        ({"threshold": 0.0}, "threshold"),
        ({"threshold": 1.5}, "threshold"),
        ({"num_perm": 0}, "num_perm"),
        ({"num_perm": 4097}, "num_perm"),
        ({"ngram": 0}, "ngram"),
        ({"seed": -1}, "seed"),
        ({"bands": 5}, "rows"),
        ({"rows": 5}, "bands"),
        ({"bands": 26, "rows": 5}, "bands"),
        ({"bands": 0, "rows": 5}, "bands"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_by_its_key(settings_: dict[str, Any], key: str) -> None:
    with pytest.raises(SettingError, match=f"^{key}: "):
        MinHash(**settings_)


@pytest.mark.parametrize(("bands", "rows"), [(128, 1), (64, 2)])
def test_containment_finds_a_part_of_a_longer_text_where_bands_do(run_near: RunNear, bands: int, rows: int) -> None:
    """Of 1,000 words 400: a Jaccard similarity of 0.4, which many bands of few rows find and no filter rules out."""
    long = [f"w{i}" for i in range(1000)]
    texts = [" ".join(long), " ".join(long[300:700]), " ".join(f"v{i}" for i in range(200))]
    result = run_near(MinHash(rule="containment", bands=bands, rows=rows), texts)
    assert [(removal.position, removal.kept, removal.similarity) for removal in result.removals] == [(1, 0, 1.0)]
