"""SIGKILL inside one large file of each format, then the same command: it goes on inside, to the same bytes."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_pipeline.pipeline import Result
from tests.data_pipeline.killed import Runs, kill_when
from tests.data_pipeline.sources.warcs import answer, members, record
from tests.lines import Lines

pytest.importorskip("fastwarc")
pytest.importorskip("resiliparse")
pytestmark = pytest.mark.slow

DOCUMENTS = 90  # of each format, in some 11 partitions
WORDS = [f"{a}{b}{c}" for a in "bdfgklmnpr" for b in "aeiou" for c in ("n", "sto", "rim")]
FORMATS = ["arrow", "csv", "html", "parquet", "warc"]  # in the order of the corpus
RULES = {
    "_target_": "data_pipeline.clean.rules.Rules",
    "rules": {"html": {"_target_": "data_pipeline.clean.html.Html",
                       "engine": {"_target_": "data_pipeline.clean.html_engines.Resiliparse", "main_content": False}}},
}  # fmt: skip


def write_files(folder: Path) -> dict[str, Any]:
    """Write one file of each format; return the corpus."""
    draw = random.Random(5)
    texts = {name: [" ".join(draw.choices(WORDS, k=300)) for _ in range(DOCUMENTS)] for name in FORMATS}
    pages = [f"<!DOCTYPE html><html><body><p>{text}</p></body></html>" for text in texts["html"]]
    (folder / "a.html.jsonl").write_text("".join(json.dumps({"text": each}) + "\n" for each in pages))
    table = pa.table({"text": texts["parquet"], "n": list(range(DOCUMENTS))})
    pq.write_table(table, folder / "a.parquet", row_group_size=70, data_page_size=4_000, write_page_checksum=True)
    table = pa.table({"text": texts["arrow"]})
    with pa.ipc.new_file(str(folder / "a.arrow"), table.schema) as writer:
        writer.write_table(table, max_chunksize=60)
    sink = io.StringIO(newline="")
    csv.writer(sink).writerows([["text"], *([text.replace(" ", "\n", 1)] for text in texts["csv"])])
    (folder / "a.csv.gz").write_bytes(gzip.compress(sink.getvalue().encode(), 1))
    records = [
        record("response", answer(f"<html><body><p>{text}</p></body></html>".encode()), str(number))
        for number, text in enumerate(texts["warc"])
    ]
    (folder / "a.warc.gz").write_bytes(members(*records))
    kinds = {"arrow": "arrow.Arrow", "csv": "csv.Csv", "html": "jsonl.Jsonl", "parquet": "parquet.Parquet"}
    kinds["warc"] = "warc.Warc"
    sources = {
        name: {"_target_": f"data_pipeline.sources.{kind}", "paths": [f"{folder}/a.{name}*"], "source": name}
        for name, kind in kinds.items()
    }
    return {"_target_": "data_pipeline.sources.several.Several", "sources": sources}


def test_a_kill_inside_a_file_costs_only_the_parts_in_work(
    config: Callable[..., dict[str, Any]],
    go: Callable[[dict[str, Any]], Result],
    typed: Lines,
    output_hashes: Callable[[Path], dict[str, str]],
    tmp_path: Path,
) -> None:
    folder, runs = tmp_path / "in", Runs(typed, tmp_path)
    folder.mkdir()
    changes: dict[str, Any] = {
        "corpus": write_files(folder),
        "clean": RULES,
        "dedup": {"_target_": "data_pipeline.dedup.dedup.NoDedup"},
        "decontaminate__test_sets": [],
        "tokenizer__vocab_size": 280,
        "executor__workers": 1,
        "partition_bytes": 1 << 14,
    }
    tree = config(folder, tmp_path / "out", **changes)
    clean = tmp_path / "out" / "work" / "clean"

    def parts(group: int) -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in clean.glob(f"{group:05d}-?????.*") if ".tmp" not in path.name}

    before: dict[Path, int] = {}
    for group, name in enumerate(FORMATS):
        assert kill_when(runs.start(tree), lambda group=group: len(list(clean.glob(f"{group:05d}-*.json"))) >= 2)
        assert not (clean / f"{group:05d}.json").exists(), f"{name} was read to its end"
        records = {path for path in parts(group) if path.suffix == ".json"}
        before |= {path: time for path, time in parts(group).items() if path.with_suffix(".json") in records}
    go(tree)
    after = {path: time for group in range(len(FORMATS)) for path, time in parts(group).items()}
    assert {path: after[path] for path in before} == before
    assert all(len(parts(group)) > 20 for group in range(len(FORMATS)))
    go(config(folder, tmp_path / "undisturbed", **changes))
    assert output_hashes(tmp_path / "out") == output_hashes(tmp_path / "undisturbed")
