"""deduplication/summary.json: what it says is what the corpus holds."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from data_pipeline.dedup.dedup import NearResult
from data_pipeline.documents import Removals
from data_pipeline.pipeline import Result
from data_pipeline.stages.deduplication import MAX_PAIRS, _histogram

WORDS = [f"w{i}" for i in range(5000)]


@pytest.fixture(scope="module")
def summary(
    config: Callable[..., dict[str, Any]], go: Callable[..., Result], tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Of 40 texts, each with a copy of a similarity of its own, and 30 pages of one template; and the evidence."""
    rng = random.Random(0)
    texts = []
    for number in range(40):
        words = rng.choices(WORDS, k=300)
        texts += [words, [*words[: 300 - number], *(f"new{number}x{i}" for i in range(number))]]
    template = rng.choices(WORDS, k=200)
    texts += [[*template, *rng.choices(WORDS, k=80)] for _ in range(30)]
    folder = tmp_path_factory.mktemp("summary")
    lines = [json.dumps({"id": f"d{i}", "text": " ".join(words)}) for i, words in enumerate(texts)]
    (folder / "a.jsonl").write_text("\n".join(lines))
    corpus = {"_target_": "data_pipeline.sources.jsonl.Jsonl", "paths": [str(folder / "a.jsonl")]}
    changes = {"corpus": corpus, "tokenizer__vocab_size": 262, "decontaminate__test_sets": []}
    go(config(folder, folder / "out", **changes))
    rows = [row for path in (folder / "out/removed/near").glob("*") for row in pq.read_table(path).to_pylist()]
    return json.loads((folder / "out/deduplication/summary.json").read_text()), rows


def test_pairs_run_from_the_least_similar_on_and_are_those_of_the_evidence(summary: Any) -> None:
    content, rows = summary
    assert len(rows) > 2 * MAX_PAIRS
    pairs = [(pair["removed"]["id"], pair["kept"]["id"], pair["similarity"]) for pair in content["pairs"]]
    evidence = sorted((row["similarity"], row["id"], row["kept_id"]) for row in rows)
    assert len(pairs) == MAX_PAIRS
    assert [pair[2] for pair in pairs] == sorted(pair[2] for pair in pairs)
    assert pairs[0][2] == evidence[0][0]
    assert {(similarity, one, other) for one, other, similarity in pairs} <= set(evidence)
    for pair in content["pairs"]:
        assert ("new" in pair["text"]) != ("new" in pair["kept_text"])  # where they differ


def test_clusters_are_counted_as_the_evidence_has_them(summary: Any) -> None:
    content, rows = summary
    largest = content["clusters"][0]
    assert (largest["documents"], largest["removed"], largest["for_hub"]) == (30, 0, 0)  # pages: connected, not alike
    removed = Counter(row["cluster"] for row in rows)
    assert all(cluster["removed"] == removed[cluster["cluster"]] for cluster in content["clusters"])
    assert [cluster["documents"] for cluster in content["clusters"][1:3]] == [2, 2]
    assert largest["text"].startswith("w")


def test_similarities_are_those_of_the_evidence_and_below_the_threshold_those_of_the_template(summary: Any) -> None:
    content, rows = summary
    similarity = content["similarity"]
    counts, _ = np.histogram([row["similarity"] for row in rows], similarity["edges"])
    assert similarity["removed"] == counts.tolist()
    assert similarity["threshold"] == 0.8
    stayed = dict(zip(similarity["edges"], similarity["stayed"], strict=False))
    # of 30, 196 shingles of 276 in common, of 356 in both: 0.55
    assert sum(count for edge, count in stayed.items() if 0.5 <= edge <= 0.55) >= 28
    assert sum(similarity["removed"]) == len(rows)


def test_a_similarity_at_an_edge_falls_into_the_bin_above() -> None:
    similarity = np.array([0.8, 0.85, 0.95, 1.0])
    removals = Removals("x", np.arange(4), 0.8, kept=np.full(4, 9), similarity=similarity)
    histogram = _histogram(NearResult(removals, nearest=np.array([0.3, 0.79999])))
    assert [i for i, count in enumerate(histogram["removed"]) for _ in range(count)] == [16, 17, 19, 19]
    assert [i for i, count in enumerate(histogram["stayed"]) for _ in range(count)] == [6, 15]


def test_the_self_test_is_the_ledgers(summary: Any) -> None:
    content, _ = summary
    levels = content["self_test"]["levels"]
    assert sum(level["planted"] for level in levels) > 20
    assert all(level["found"] <= level["similar"] <= level["planted"] for level in levels)
