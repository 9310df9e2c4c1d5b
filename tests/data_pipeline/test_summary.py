"""The closing table: every reason is in it, and its numbers are those of the books and the manifest."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from data_pipeline.ledger import Account
from data_pipeline.pipeline import Finished, Result
from data_pipeline.shards.manifest import Manifest, ShardInfo, SourceManifest
from data_pipeline.summary import print_summary


def test_the_table_has_every_reason_and_the_numbers_of_the_manifest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "10")  # of a terminal; here is none, so nothing is wrapped
    clean = {
        "web": Account(
            num_in=3000, num_out=2970, dropped=Counter(a=9, b=8, c=5, d=2, e=1), quarantined=Counter(json=4, utf8=1)
        ),
        "books": Account(num_in=20, num_out=20),
    }
    timing = {"seconds": 1.25}
    stages = [
        Finished("clean", "", clean, {}, timing, redone=True),
        Finished("tokenizer", "", {}, {"note": "2.0 MB of 10 documents"}, timing, redone=False),
    ]
    source = SourceManifest(1.0, 1010, 10, 4000, [ShardInfo("web_00000", 1010, 10, "0" * 32)])
    manifest = Manifest("0" * 32, 300, 0, "uint16", {"train": {"web": source}, "val": {}})
    (tmp_path / "quarantine").mkdir()
    print_summary(Result(tmp_path, manifest, stages, tmp_path / "report.html"))
    said = capsys.readouterr().err.splitlines()
    assert said == [line.rstrip() for line in said]
    lines = [" ".join(line.split()) for line in said]
    assert "clean 3,020 2,990 1.2 a 9, b 8, c 5, json (unreadable) 4, others 4" in lines
    assert "tokenizer kept 2.0 MB of 10 documents" in lines
    assert "train web 10 1,010 4.0 kB 4.00 1" in lines  # 4,000 bytes by 1,000 tokens that stand for text
    assert f"quarantine: {tmp_path / 'quarantine'}" in lines
