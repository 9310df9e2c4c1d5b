"""The closing table: every reason is in it, and its numbers are those of the books and the manifest."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from data_pipeline.ledger import Account
from data_pipeline.pipeline import Result
from data_pipeline.shards.manifest import Manifest, ShardInfo, SourceManifest
from data_pipeline.stages.stage import Finished
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
    augment = {"web": Account(num_in=2970, num_out=2983, created=Counter(noise=4, swaps=9))}
    timing = {"seconds": 1.25, "memory_bytes": 3.2e8}
    stages = [
        Finished("clean", "", clean, {}, timing, redone=True),
        Finished("augment", "", augment, {"note": "1 more came out unchanged"}, timing, redone=True),
        Finished("tokenizer", "", {}, {"note": "2.0 MB of 10 documents"}, timing, redone=False),
    ]
    source = SourceManifest(1.0, 1010, 10, 4000, [ShardInfo("web_00000", 1010, 10, "0" * 32)])
    manifest = Manifest("0" * 32, 300, 0, "uint16", {"train": {"web": source}, "val": {}})
    (tmp_path / "quarantine").mkdir()
    print_summary(Result(tmp_path, manifest, stages, tmp_path / "report.html"))
    said = capsys.readouterr().err.splitlines()
    assert said == [line.rstrip() for line in said]
    assert "clean      3,020  2,990      1.2  320.0 MB  a 9, b 8, c 5, json (unreadable) 4, others 4" in said
    lines = [" ".join(line.split()) for line in said]
    assert "clean 3,020 2,990 1.2 320.0 MB a 9, b 8, c 5, json (unreadable) 4, others 4" in lines
    assert "augment 2,970 2,983 1.2 320.0 MB created swaps 9, noise 4; 1 more came out unchanged" in lines
    assert "tokenizer kept 320.0 MB 2.0 MB of 10 documents" in lines
    assert "train web 10 1,010 4.0 kB 4.00 1" in lines  # 4,000 bytes by 1,000 tokens that stand for text
    assert f"quarantine: {tmp_path / 'quarantine'}" in lines
    assert f"train: torchrun launch/train.py model=gpt_small data.path={tmp_path}" in lines


@pytest.mark.parametrize("columns", [80, 120])
def test_on_a_terminal_no_line_is_wider_and_no_word_of_it_is_cut(columns: int) -> None:
    """What the last column can't hold goes on below, under itself."""
    shown = on_a_terminal(columns)
    assert max(map(len, shown)) <= columns
    start = next(line.index("removed; notes") for line in shown if "removed; notes" in line)
    first = next(number for number, line in enumerate(shown) if line.startswith("clean"))
    last = next(number for number, line in enumerate(shown) if line.startswith("exact"))
    assert last - first > 1
    assert " ".join(line[start:].strip() for line in shown[first:last]) == NOTE
    assert [line[:start].split() for line in shown[first:last]] == [
        ["clean", "9", "4", "1.2"],
        *[[]] * (last - first - 1),
    ]
    assert shown[last].split() == ["exact", "off"]


NOTE = "gopher_words_too_short 3, gopher_alpha_words 2; " + ", ".join(f"set_{n}: {n},000 clean" for n in range(10, 20))
TERMINAL = """
from collections import Counter
from pathlib import Path
from data_pipeline.ledger import Account
from data_pipeline.pipeline import Result
from data_pipeline.stages.stage import Finished
from data_pipeline.shards.manifest import Manifest
from data_pipeline.summary import print_summary
gone = Counter(gopher_words_too_short=3, gopher_alpha_words=2)
book = {{"web": Account(num_in=9, num_out=4, dropped=gone)}}
stages = [
    Finished("clean", "", book, {{"note": {note!r}.partition("; ")[2]}}, {{"seconds": 1.2}}, redone=True),
    Finished("exact", "", {{"web": Account(num_in=4, num_out=4)}}, {{}}, {{"seconds": 0.0}}, True, is_off=True),
]
manifest = Manifest("0" * 32, 300, 0, "uint16", {{"train": {{}}, "val": {{}}}})
print_summary(Result(Path("out"), manifest, stages, Path("out/report.html")))
"""


def on_a_terminal(columns: int) -> list[str]:
    ours, theirs = pty.openpty()
    environment = {"TERM": "dumb", "COLUMNS": str(columns), "PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.Popen([sys.executable, "-c", TERMINAL.format(note=NOTE)], stderr=theirs, env=environment)
    child.wait()
    os.close(theirs)
    shown = os.read(ours, 1 << 20).decode()
    os.close(ours)
    return shown.splitlines()
