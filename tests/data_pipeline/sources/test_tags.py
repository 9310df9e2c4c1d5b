"""A tag of a source is in the metadata of its documents, where one rule tells sources apart by it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from data_pipeline.documents import SCHEMA, from_texts
from data_pipeline.pipeline import Result
from data_pipeline.sources.tags import tagged

SENSES = {"law": {"bar": "profession"}, "music": {"bar": "measure"}}


def test_a_tag_is_added_unless_the_record_has_it() -> None:
    metadata = ["{}", '{"n":1}', '{"domain":"art"}', '{"domain":null}', '{"in":{"domain":1}}']
    batch = from_texts(list("abcde")).set_column(4, SCHEMA.field("metadata"), pa.array(metadata, pa.large_string()))
    found = tagged(batch, {"domain": "law", "é": "\n"})
    assert found.schema == SCHEMA and tagged(batch, None) is tagged(batch, {}) is batch
    assert found.column("metadata").to_pylist() == [
        '{"domain":"law","é":"\\n"}',
        '{"n":1,"domain":"law","é":"\\n"}',
        '{"domain":"art","é":"\\n"}',
        '{"domain":null,"é":"\\n"}',
        '{"in":{"domain":1},"domain":"law","é":"\\n"}',
    ]
    assert found.column("text").equals(batch.column("text"))


def test_one_rule_tells_two_sources_apart(
    config: Callable[..., dict[str, Any]],
    go: Callable[..., Result],
    redone: Callable[[Result], list[str]],
    decoded: Any,
    tmp_path: Path,
) -> None:
    def tree(**tags: dict[str, str] | None) -> dict[str, Any]:
        sources = {
            name: {"_target_": "data_pipeline.sources.jsonl.Jsonl", "paths": [str(tmp_path / f"{name}.jsonl")]}
            | {"source": name, "tags": each}
            for name, each in tags.items()
        }
        homographs = "data_pipeline.clean.homographs.Homographs"
        return config(
            tmp_path,
            tmp_path / "out",
            corpus={"_target_": "data_pipeline.sources.several.Several", "sources": sources},
            clean={"_target_": homographs, "senses": SENSES, "domain_key": "domain"},
            dedup={"_target_": "data_pipeline.dedup.dedup.NoDedup"},
            decontaminate={"_target_": "data_pipeline.decontaminate.decontaminator.NoDecontaminate"},
            tokenizer__vocab_size=262,
        )

    for name in ("cases", "scores"):
        lines = [{"text": f"the bar of {name} {row}"} for row in range(30)]
        lines.append({"text": f"another bar of {name}", "domain": "music"})
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert "clean" in redone(go(tree(cases={"domain": "law"}, scores={"domain": "music"})))
    texts = {source: set(each) for source, each in in_both(decoded(tmp_path / "out")).items()}
    assert texts == {
        "cases": {f"the bar<profession> of cases {row}" for row in range(30)} | {"another bar<measure> of cases"},
        "scores": {f"the bar<measure> of scores {row}" for row in range(30)} | {"another bar<measure> of scores"},
    }
    assert redone(go(tree(cases={"domain": "law"}, scores={"domain": "music"}))) == []
    stored = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "work" / "clean").glob("*.arrow")}
    assert "clean" in redone(go(tree(cases={"domain": "law"}, scores=None)))
    assert [path.stem for path, time in stored.items() if path.stat().st_mtime_ns != time] == ["00001-00000"]
    assert "the bar of scores 3" in in_both(decoded(tmp_path / "out"))["scores"]


def in_both(splits: dict[str, dict[str, list[str]]]) -> dict[str, list[str]]:
    """Return the texts of each source, of training and validation."""
    return {source: splits["train"][source] + splits["val"][source] for source in splits["train"]}
