"""Decontamination as a stage: what is counted again when a setting changes, and what the closing table says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from data_pipeline.pipeline import Result

Config = Callable[..., dict[str, Any]]
Go = Callable[[dict[str, Any]], Result]
QUESTION = "which of the seven bridges was crossed twice by the merchant before the winter market opened again"


def _note(result: Result) -> str:
    (stage,) = (stage for stage in result.stages if stage.name == "decontaminate")
    return str(stage.facts["note"])


@pytest.mark.parametrize(
    ("setting", "value", "finds_again"),
    [
        ("min_coverage", 0.6, False),
        ("max_document_frequency", 99, False),
        ("min_left_frac", 0.2, False),
        ("n", 12, True),
        ("min_words", 4, True),
    ],
)
def test_only_what_counting_depends_on_finds_again(
    made: Any, out: Path, config: Config, go: Go, setting: str, value: float, finds_again: bool
) -> None:
    work = out / "work" / "decontaminate"
    before = {path: path.stat().st_mtime_ns for path in work.glob("find-*.json")}
    judged = {path: path.stat().st_mtime_ns for path in work.glob("judge-*.json")}
    assert before and judged
    go(config(made.folder, out, **{f"decontaminate__{setting}": value}))
    assert all(path.stat().st_mtime_ns > time for path, time in judged.items())
    assert {path.stat().st_mtime_ns > time for path, time in before.items()} == {finds_again}


def test_the_note_names_each_set(made: Any, config: Config, go: Go, tmp_path: Path) -> None:
    found = go(config(made.folder, tmp_path / "found", mix__seed=2))
    held_out = sum(source.documents for source in found.manifest.splits["val"].values())
    assert _note(found) == (
        "test: 1 contaminated, 0 partial, 0 clean; "
        f"held_out: 0 contaminated, 1 partial, {held_out - 1} clean"  # the one that holds the question itself
    )
    none_found = go(config(made.folder, tmp_path / "none", decontaminate__test_sets=[], mix__seed=2))
    assert _note(none_found) == f"held_out: 0 contaminated, 1 partial, {held_out - 1} clean"


def test_a_search_for_nothing_reads_no_text(
    made: Any, out: Path, config: Config, go: Go, capsys: pytest.CaptureFixture[str]
) -> None:
    none = {"_target_": "data_pipeline.decontaminate.decontaminator.NoDecontaminate"}
    result = go(config(made.folder, out, decontaminate=none))
    assert "held-out items" not in capsys.readouterr().err
    assert not list((out / "work" / "decontaminate").glob("find-*"))
    assert not (out / "decontamination").exists()  # nobody is to read there what no longer holds
    (stage,) = (stage for stage in result.stages if stage.name == "decontaminate")
    assert stage.redone and not sum(account.dropped.total() for account in stage.book.values())


def test_what_is_common_elsewhere_now_is_judged_anew_here(config: Config, go: Go, tmp_path: Path) -> None:
    """The first file keeps its documents and its partition; whether they are contaminated hangs on the second's."""
    first = [f"document {number} of many words that nobody else has" for number in range(40)]
    second = [f"page {number} of another file with words of its own" for number in range(40)]
    files = {"a": [f"{QUESTION} in a", *first], "b": [*second, f"{QUESTION} in b", f"{QUESTION} IN B"]}
    for name, texts in files.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    (tmp_path / "test.jsonl").write_text(json.dumps({"question": QUESTION}) + "\n")
    corpus = {"_target_": "data_pipeline.sources.jsonl.Jsonl", "paths": [f"{tmp_path}/?.jsonl"]}

    def contaminated(dedup: str) -> list[str]:
        settings = {"decontaminate__max_document_frequency": 2, "tokenizer__vocab_size": 270, "partition_bytes": 2700}
        go(config(tmp_path, tmp_path / "out", corpus=corpus, dedup={"_target_": dedup}, **settings))
        found = (tmp_path / "out" / "removed" / "decontaminate").glob("*.parquet")
        return sorted(row["id"] for path in found for row in pq.read_table(path).to_pylist())

    assert contaminated("data_pipeline.dedup.exact.Exact") == ["a.jsonl#0", "b.jsonl#40"]
    assert contaminated("data_pipeline.dedup.dedup.NoDedup") == []  # in three documents: a common phrase
