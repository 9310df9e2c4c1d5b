"""What cleaning says of its input on the way: too much that is unreadable, files that were cut, ids that come again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.limits import TooManyUnreadable
from data_pipeline.pipeline import Result
from data_pipeline.stages.clean import EARLY_RECORDS
from data_pipeline.summary import print_summary
from foundation.files import read_json

Config = Callable[..., dict[str, Any]]
Go = Callable[[dict[str, Any]], Result]
CHANGES: dict[str, Any] = {
    "mix__held_out_frac": 0.1,
    "decontaminate__test_sets": [],
    "tokenizer__vocab_size": 280,
    "dedup": {"_target_": "data_pipeline.dedup.dedup.NoDedup"},
    "min_bad_records": 10,
}


def good(number: int, **fields: Any) -> bytes:
    text = " ".join(f"w{(number * 37 + place * place) % 997}" for place in range(20))
    return json.dumps({"text": text, **fields}).encode() + b"\n"


def corpus_of(folder: Path, files: dict[str, bytes]) -> dict[str, Any]:
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return {"_target_": "data_pipeline.sources.jsonl.Jsonl", "paths": [f"{folder}/*"], "source": "web"}


@pytest.mark.bad_input(23)
@pytest.mark.slow
def test_an_input_that_is_unreadable_for_the_most_part_stops_the_run_early(
    config: Config, go: Go, tmp_path: Path
) -> None:
    bad = b"no json at all, and this to its end\n"
    files = {"a.jsonl": good(0) * 4_000, "b.jsonl": bad * 10_000, "c.jsonl": bad * 40_000}
    corpus = corpus_of(tmp_path / "in", files)
    said = []
    for workers in (1, 2):
        out = tmp_path / f"out{workers}"
        tree = config(tmp_path, out, corpus=corpus, partition_bytes=40_000, **CHANGES, executor__workers=workers)
        with pytest.raises(TooManyUnreadable, match=r"more than half of source 'web' is unreadable, and the") as raised:
            go(tree)
        said.append(str(raised.value).replace(str(out), "OUT"))
        kept = sum(path.stat().st_size for path in (out / "quarantine").rglob("*") if path.is_file())
        assert kept < len(files["b.jsonl"]) * 8  # the 40,000 of c.jsonl are not there
    assert said[0] == said[1]
    come = int(said[0].partition(" of ")[2].partition(" records")[0].replace(",", ""))
    assert EARLY_RECORDS <= come < EARLY_RECORDS + 1_200, said[0]
    assert "b.jsonl, line 1: it is no JSON" in said[0]


def test_what_was_finished_before_such_a_stop_is_kept(config: Config, go: Go, tmp_path: Path) -> None:
    lines = b"".join(map(good, range(50))) + b"no json\n" * 2 * EARLY_RECORDS
    corpus = corpus_of(tmp_path / "in", {"a.jsonl": lines})
    tree = config(tmp_path, tmp_path / "out", corpus=corpus, partition_bytes=20_000, **CHANGES)
    with pytest.raises(TooManyUnreadable, match="so far"):
        go(tree)
    clean = tmp_path / "out" / "work" / "clean"
    times = {path: path.stat().st_mtime_ns for path in clean.glob("?????-?????.arrow")}
    assert len(times) >= 4
    account = go(tree | {"max_bad_frac": 1.0}).stages[0].book["web"]
    assert (account.num_in, account.num_out) == (50 + 2 * EARLY_RECORDS, 50)
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_a_bad_beginning_that_is_allowed_is_read_on(config: Config, go: Go, tmp_path: Path) -> None:
    lines = b"no json\n" * 8_000 + b"".join(map(good, range(6_000)))
    corpus = corpus_of(tmp_path / "in", {"a.jsonl": lines})
    tree = config(tmp_path, tmp_path / "out", corpus=corpus, partition_bytes=1 << 18, **CHANGES, max_bad_frac=0.9)
    assert go(tree).stages[0].book["web"].num_in == 14_000


@pytest.mark.bad_input(13)
def test_files_that_were_cut_are_counted_and_named(
    config: Config, go: Go, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = b"".join(map(good, range(30)))
    files = {f"{name}.jsonl": whole[:-10] for name in "bcdef"} | {"a.jsonl": whole, "g.jsonl": whole[:-1]}
    corpus = corpus_of(tmp_path / "in", files)
    for partition_bytes in (3_000, 1 << 20):
        result = go(config(tmp_path, tmp_path / "out", corpus=corpus, **CHANGES, partition_bytes=partition_bytes))
        counts = read_json(tmp_path / "out" / "ledger.json")["counts"]["clean"]
        assert counts["files_cut_short"] == result.stages[0].book["web"].quarantined["json_eof"] == 5
        capsys.readouterr()
        print_summary(result)
        said = capsys.readouterr().err
        assert "5 files cut short; " in said
        assert "warning: 5 files cut short (b.jsonl, c.jsonl, d.jsonl, ...): the last record ends before it is" in said
    assert "files cut short" in result.report.read_text()


def test_where_no_file_was_cut_nothing_is_said(
    config: Config, go: Go, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [good(number, id=f"a{number}") for number in range(60)]
    corpus = corpus_of(tmp_path / "in", {"a.jsonl": b"".join(lines), "b.jsonl": b"{\n" + good(61) + b"\n"})
    result = go(config(tmp_path, tmp_path / "out", corpus=corpus, **CHANGES))
    counts = read_json(tmp_path / "out" / "ledger.json")["counts"]["clean"]
    assert not {"files_cut_short", "documents_with_repeated_id"} & set(counts)
    print_summary(result)
    said = capsys.readouterr().err
    assert "cut short" not in said and "with the id" not in said


@pytest.mark.bad_input(25)
def test_ids_that_come_again_in_a_source_are_counted(
    config: Config, go: Go, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = [f"id{number % 50}" for number in range(70)]  # 20 of them again
    lines = [good(number, id=given) for number, given in enumerate(ids)]
    lines += [good(100 + number, id="\N{GRINNING FACE}") for number in range(3)] + [good(200), good(201)]
    one = corpus_of(tmp_path / "one", {"a.jsonl": b"".join(lines[:40]), "b.jsonl": b"".join(lines[40:])})
    others = [good(300 + number, id=ids[number]) for number in range(50)]
    other = corpus_of(tmp_path / "two", {"a.jsonl": b"".join(others)})
    sources = {"web": one, "books": other | {"source": "books"}}
    corpus = {"_target_": "data_pipeline.sources.several.Several", "sources": sources}
    for partition_bytes in (3_000, 1 << 20):
        result = go(config(tmp_path, tmp_path / "out", corpus=corpus, **CHANGES, partition_bytes=partition_bytes))
        counts = read_json(tmp_path / "out" / "ledger.json")["counts"]["clean"]
        assert counts["documents_with_repeated_id"] == 22
        capsys.readouterr()
        print_summary(result)
        assert "22 documents with the id of another one" in capsys.readouterr().err
