"""Pipelines that clean by a classifier: a limit reads no text again, another model does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from data_pipeline.clean.linear_model import ModelError
from data_pipeline.pipeline import Result
from foundation.files import read_json
from tests.data_pipeline.models import write_model

Config = Callable[..., dict[str, Any]]
Go = Callable[[dict[str, Any]], Result]


def rules(model: Path, **settings: Any) -> dict[str, Any]:
    """The changes to a config that leave the classifier to decide alone: the texts are much alike."""
    rule = {"_target_": "data_pipeline.clean.classifier.Classifier", "model": str(model), **settings}
    return {
        "clean": {"_target_": "data_pipeline.clean.rules.Rules", "rules": {"quality": rule}},
        "dedup": {"_target_": "data_pipeline.dedup.dedup.NoDedup"},
        "decontaminate": {"_target_": "data_pipeline.decontaminate.decontaminator.NoDecontaminate"},
        "tokenizer__vocab_size": 280,
    }


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """60 documents of the web, every third of them foul, and 20 fine books."""
    folder = tmp_path / "inputs"
    for source, number in (("web", 60), ("books", 20)):
        words = ["foul" if source == "web" and place % 3 == 0 else "fine" for place in range(number)]
        lines = [json.dumps({"text": f"a {word} text of few words {place}"}) for place, word in enumerate(words)]
        (folder / source).mkdir(parents=True)
        (folder / source / "a.jsonl").write_text("".join(line + "\n" for line in lines))
    return folder


def test_another_limit_reads_no_text_again_and_another_model_does(
    texts: Path, config: Config, go: Go, redone: Callable[[Result], list[str]], tmp_path: Path
) -> None:
    out, model = tmp_path / "out", write_model(tmp_path / "model.safetensors", "fine", "foul", 5.0)

    def run(**settings: Any) -> tuple[list[str], dict[str, int]]:
        result = go(config(texts, out, **rules(model, **settings)))
        return redone(result), read_json(out / "ledger.json")["stages"]["filter"]["web"]["dropped"]

    again, dropped = run()
    assert again[0] == "clean" and dropped == {}
    again, dropped = run(least=0.5)
    assert again[0] == "filter" and dropped == {"low_quality": 20}
    removed = pq.read_table(out / "removed" / "filter").to_pylist()
    assert {(row["reason"], row["threshold"]) for row in removed} == {("low_quality", 0.5)}
    assert all(" foul " in row["text"] and row["value"] < 0.2 for row in removed)
    assert "quality" in (out / "report.html").read_text()
    again, dropped = run(least=0.5, reason="toxic")
    assert again == ["filter"] and dropped == {"toxic": 20}
    write_model(model, "foul", "fine", 5.0)  # now the fine ones are bad, and too many of the books
    again, dropped = run(most=0.5, reason="toxic")
    assert again[0] == "clean" and dropped == {"toxic": 20}
    data = bytearray(model.read_bytes())
    data[-1] ^= 1
    model.write_bytes(data)
    with pytest.raises(ModelError, match=r"model\.safetensors: is damaged"):
        run()
