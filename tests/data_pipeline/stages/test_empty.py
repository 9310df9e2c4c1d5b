"""Documents without a word go whatever the rules, with what they were before; files without a record are named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_pipeline.pipeline import Result

Config = Callable[..., dict[str, Any]]
Go = Callable[[dict[str, Any]], Result]
Hashes = Callable[[Path], dict[str, str]]
Redone = Callable[[Result], list[str]]
NONE = {"_target_": "data_pipeline.clean.rules.NoClean"}
LENGTH = {"_target_": "data_pipeline.clean.length.Length"}
REPETITION = {"_target_": "data_pipeline.clean.gopher_repetition.GopherRepetition"}
C4 = {"_target_": "data_pipeline.clean.c4.C4", "min_sentences": 0}
JSONL = "data_pipeline.sources.jsonl.Jsonl"
MENU = "menu\nhome\n" * 20


def rules(**chosen: dict[str, Any]) -> dict[str, Any]:
    return {"_target_": "data_pipeline.clean.rules.Rules", "rules": chosen}


def prose(row: int) -> str:
    return f"Document {row} says a thing that no other one says. " + " ".join(f"w{row}x{i}" for i in range(20)) + "."


def write(folder: Path, menu: str = MENU) -> list[Path]:
    (folder / "in").mkdir(exist_ok=True)
    texts = [prose(row) for row in range(40)] + ["", " \n\u3000", menu]
    lines = [json.dumps({"text": text, "id": f"d{row}"}) for row, text in enumerate(texts)]
    (folder / "in" / "a.jsonl").write_text("\n".join(lines))
    (folder / "in" / "b.jsonl").write_bytes(b"")
    (folder / "in" / "c.jsonl").write_text("\n\n")
    return sorted((folder / "in").iterdir())


def tree(config: Config, folder: Path, clean: dict[str, Any], out: str = "out", **changes: Any) -> dict[str, Any]:
    corpus = {"_target_": JSONL, "paths": [f"{folder}/in/*"], "source": "web"}
    changes |= {"mix__held_out_frac": 0.2, "tokenizer__vocab_size": 262, "decontaminate__test_sets": []}
    changes["dedup"] = {"_target_": "data_pipeline.dedup.dedup.NoDedup"}
    return config(folder, folder / out, corpus=corpus, clean=clean, **changes)


def removed(folder: Path, out: str = "out") -> dict[str, dict[str, Any]]:
    paths = sorted((folder / out / "removed" / "filter").iterdir())
    return {row["id"]: row for row in pa.concat_tables([pq.read_table(path) for path in paths]).to_pylist()}


@pytest.mark.bad_input(24)
@pytest.mark.parametrize("clean", [NONE, LENGTH, rules(), rules(length=LENGTH)], ids=["none", "one", "bare", "length"])
def test_a_document_without_a_word_goes_whatever_the_rules(
    config: Config, go: Go, tmp_path: Path, clean: dict[str, Any]
) -> None:
    write(tmp_path)
    result = go(tree(config, tmp_path, clean))
    assert result.stages[1].book["web"].dropped == {"empty": 2}
    rows = removed(tmp_path)
    assert {name: (row["reason"], row["rule"], row["snippet"]) for name, row in rows.items()} == {
        "d40": ("empty", None, ""),
        "d41": ("empty", None, " \n\u3000"),
    }
    train, val = (result.manifest.splits[split]["web"].documents for split in ("train", "val"))
    assert train + val == 41


def test_what_a_rule_emptied_is_told_by_that_rule_and_shown_as_it_was_read(
    config: Config, go: Go, redone: Redone, output_hashes: Hashes, tmp_path: Path
) -> None:
    """Repetition measures the menu before C4 takes its lines: that an empty text breaks its limit is no reason."""
    write(tmp_path)
    clean = rules(length=LENGTH, repetition=REPETITION, c4=C4)
    result = go(tree(config, tmp_path, clean))
    assert result.stages[1].book["web"].dropped == {"empty": 3}
    row = removed(tmp_path)["d42"]
    assert (row["reason"], row["rule"], row["value"], row["threshold"]) == ("empty", "c4", None, None)
    assert (row["snippet"], row["text"]) == (MENU[:240], "")
    page = result.report.read_text()
    assert "emptied by clean.rules.c4" in page and "menu\nhome" in page and "no word: it came so" in page
    write(tmp_path, menu="another\nmenu\n" * 20)
    assert "filter" in redone(go(tree(config, tmp_path, clean)))
    assert removed(tmp_path)["d42"]["snippet"].startswith("another")
    go(tree(config, tmp_path, clean, "fresh", executor__workers=2, partition_bytes=1500))
    go(tree(config, tmp_path, clean, "other", executor__workers=1, partition_bytes=1500))
    assert output_hashes(tmp_path / "fresh") == output_hashes(tmp_path / "other")


@pytest.mark.bad_input(10)
def test_files_without_a_record_are_named(
    config: Config, go: Go, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path)
    facts = go(tree(config, tmp_path, NONE)).stages[0].facts
    assert "2 files without a record (b.jsonl, c.jsonl)" in facts["note"]
    assert facts["counts"]["files_without_a_record"] == 2
    assert "files without a record (b.jsonl, c.jsonl)" in (tmp_path / "out" / "report.html").read_text()
