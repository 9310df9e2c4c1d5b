"""Repeated paragraphs through the whole pipeline: what is left in the shards, what the evidence says."""

from __future__ import annotations

import json
import pickle
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from data_pipeline.dedup.paragraphs import Counted, RepeatedParagraphs
from data_pipeline.pipeline import Result
from data_pipeline.stages.paragraph_counts import StoredCounts, StoredRepeated, write_counts
from data_pipeline.stages.paragraphs import _Judge
from tests.data_pipeline.all_stages import ALL
from tests.data_pipeline.killed import Runs, ended
from tests.lines import Lines

Config = Callable[..., dict[str, Any]]
Go = Callable[[dict[str, Any]], Result]
MENU = "Home News Sport Weather and all the other pages of this site"
NOTICE = "Copyright by whoever wrote this page in the year in which it was written"
REPEATED = "data_pipeline.dedup.paragraphs.RepeatedParagraphs"


def corpus(folder: Path) -> dict[str, list[str]]:
    """Two files of pages, most with a menu, some with a notice, one that is nothing but both."""
    rng = random.Random(3)
    pages: dict[str, list[str]] = {}
    for name, count in (("a", 40), ("b", 30)):
        pages[name] = []
        for number in range(count):
            words = " ".join(f"{name}{number}é{rng.randrange(1000)}" for _ in range(30))
            parts = [MENU.upper() if number % 2 else MENU, words, *([NOTICE, NOTICE] if number % 5 == 2 else [])]
            pages[name].append("\n\n".join(parts if number % 7 != 6 else parts[1:]))
    pages["b"].append(f"{MENU}\n\n{NOTICE}\n")
    for name, texts in pages.items():
        lines = (json.dumps({"id": f"{name}{row}", "text": text}) + "\n" for row, text in enumerate(texts))
        (folder / f"{name}.jsonl").write_text("".join(lines))
    return pages


def plain(pages: dict[str, list[str]], keep: str) -> dict[str, str]:
    """id -> what is left of each document that stays: the menu and the notice go, but where each stands first."""
    left, seen = {}, set()
    for name, texts in pages.items():
        for row, text in enumerate(texts):
            kept = []
            for part in text.split("\n\n"):
                words = " ".join(part.lower().split())
                common = words in (MENU.lower(), NOTICE.lower())
                if not common or (keep == "first" and words not in seen):
                    kept.append(part)
                if common:
                    seen.add(words)
            if kept:
                left[f"{name}{row}"] = "\n\n".join(kept)
    return left


@pytest.fixture
def settings(config: Config, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    source = {"_target_": "data_pipeline.sources.jsonl.Jsonl", "paths": [f"{tmp_path}/?.jsonl"], "source": "pages"}
    none = {"_target_": "data_pipeline.decontaminate.decontaminator.NoDecontaminate"}

    def settings(out: str, keep: str = "first", **changes: Any) -> dict[str, Any]:
        paragraphs = {"_target_": REPEATED, "keep": keep, "min_words": 5}
        fixed = {"corpus": source, "decontaminate": none, "tokenizer__vocab_size": 300, "partition_bytes": 2000}
        return config(tmp_path, tmp_path / out, paragraphs=paragraphs, **fixed, **changes)

    return settings


@pytest.mark.parametrize("keep", ["first", "none"])
def test_the_shards_hold_what_the_plain_rule_leaves(
    settings: Callable[..., dict[str, Any]], go: Go, decoded: Any, tmp_path: Path, keep: str
) -> None:
    expected = plain(corpus(tmp_path), keep)
    result = go(settings("out", keep))
    found = [text for split in decoded(tmp_path / "out").values() for texts in split.values() for text in texts]
    assert sorted(text.rstrip("\n") for text in found) == sorted(expected.values())
    (stage,) = (stage for stage in result.stages if stage.name == "paragraphs")
    assert dict(stage.book["pages"].dropped) == {"repeated_paragraphs_alone": 1}
    assert stage.facts["counts"]["repeated_paragraphs"] == 2
    utf8_bytes = sum(source.utf8_bytes for split in result.manifest.splits.values() for source in split.values())
    assert utf8_bytes == sum(len(text.encode()) for text in found)


def test_the_evidence_names_each_span_and_who_kept_a_copy(
    settings: Callable[..., dict[str, Any]], go: Go, tmp_path: Path
) -> None:
    pages = corpus(tmp_path)
    go(settings("out"))
    rows = [
        row
        for path in sorted((tmp_path / "out/removed/paragraphs").iterdir())
        for row in pq.read_table(path).to_pylist()
    ]
    texts = {f"{name}{row}": text for name, texts in pages.items() for row, text in enumerate(texts)}
    spans = [row for row in rows if row["reason"] == "repeated_paragraph"]
    for row in spans:
        span = texts[row["id"]].encode()[row["start"] : row["stop"]].decode()
        words = " ".join(span.lower().split())
        assert words in (MENU.lower(), NOTICE.lower()) and row["snippet"] == span
        assert row["kept_id"] == ("a0" if words == MENU.lower() else "a2")
        assert row["kept_snippet"] is None  # it would be the beginning of that document
        holders = sum(words in " ".join(text.lower().split()) for text in texts.values())
        assert (row["value"], row["threshold"]) == (holders, 1.0)
    total = sum(
        " ".join(text.lower().split()).count(each.lower()) for text in texts.values() for each in (MENU, NOTICE)
    )
    assert len(spans) == total - 2 - 2  # but for the two first ones, and the document that went as a whole
    (emptied,) = (row for row in rows if row["reason"] == "repeated_paragraphs_alone")
    assert (emptied["id"], emptied["value"], emptied["start"]) == ("b30", 0.0, None)


def test_the_same_bytes_with_any_number_of_workers_and_when_done_again(
    settings: Callable[..., dict[str, Any]], go: Go, redone: Any, output_hashes: Any, tmp_path: Path
) -> None:
    corpus(tmp_path)
    go(settings("one"))
    go(settings("two", executor__workers=2))
    assert output_hashes(tmp_path / "one") == output_hashes(tmp_path / "two")
    assert redone(go(settings("one"))) == []
    again = go(settings("one", "none"))
    assert redone(again) == ALL[4:]
    go(settings("three", "none"))
    assert output_hashes(tmp_path / "one") == output_hashes(tmp_path / "three")


@pytest.mark.parametrize(("keep", "unit"), [("none", "paragraph"), ("first", "line")])
def test_the_same_bytes_with_one_worker_and_two(
    settings: Callable[..., dict[str, Any]], go: Go, output_hashes: Any, tmp_path: Path, keep: str, unit: str
) -> None:
    corpus(tmp_path)
    change = {"paragraphs__unit": unit, "paragraphs__min_left_bytes": 250}
    one = go(settings("one", keep, **change))
    (stage,) = (stage for stage in one.stages if stage.name == "paragraphs")
    assert stage.facts["counts"][f"{unit}s_cut"] and stage.book["pages"].dropped[f"repeated_{unit}s_alone"]
    go(settings("two", keep, executor__workers=2, **change))
    assert output_hashes(tmp_path / "one") == output_hashes(tmp_path / "two")


def test_a_document_that_keeps_a_copy_for_others_stays_however_little_it_holds(
    settings: Callable[..., dict[str, Any]], go: Go, decoded: Any, tmp_path: Path
) -> None:
    own = [" ".join(f"own{number}w{word}" for word in range(30)) for number in range(40)]
    texts = [MENU, *(f"{MENU}\n\n{words}" for words in own), f"{MENU}\n\nalone", f"{NOTICE}\n\n{MENU}", NOTICE]
    lines = (json.dumps({"id": f"a{row}", "text": text}) + "\n" for row, text in enumerate(texts))
    (tmp_path / "a.jsonl").write_text("".join(lines))
    exact = {"_target_": "data_pipeline.dedup.exact.Exact"}
    go(settings("out", dedup=exact, paragraphs__min_left_bytes=100))  # more than the menu has, or the notice
    found = [text for split in decoded(tmp_path / "out").values() for texts in split.values() for text in texts]
    assert sorted(text.strip() for text in found) == sorted([MENU, *own, NOTICE])
    rows = [
        row
        for path in sorted((tmp_path / "out/removed/paragraphs").iterdir())
        for row in pq.read_table(path).to_pylist()
    ]
    gone = {row["id"] for row in rows if row["reason"] == "repeated_paragraphs_alone"}
    assert gone == {"a41", "a43"}  # "alone", and the second notice
    kept = {row["kept_id"] for row in rows if row["reason"] == "repeated_paragraph"}
    assert kept and not kept & gone


@pytest.mark.parametrize(
    ("setting", "value", "counts_again", "judges_again"),
    [
        ("max_documents", 2, False, True),
        ("keep", "none", False, True),
        ("min_left_bytes", 2, False, True),
        ("memory_bytes", 1 << 20, False, False),
        ("min_words", 4, True, True),
        ("unit", "line", True, True),
    ],
)
def test_only_what_counting_depends_on_counts_again(
    settings: Callable[..., dict[str, Any]],
    go: Go,
    tmp_path: Path,
    setting: str,
    value: Any,
    counts_again: bool,
    judges_again: bool,
) -> None:
    corpus(tmp_path)
    go(settings("out"))
    work = tmp_path / "out" / "work" / "paragraphs"
    counted = {path: path.stat().st_mtime_ns for path in work.glob("count-*.json")}
    judged = {path: path.stat().st_mtime_ns for path in work.glob("judge-*.json")}
    assert counted and judged and not list(work.glob("repeated.*"))
    go(settings("out", **{f"paragraphs__{setting}": value}))
    assert {path.stat().st_mtime_ns > time for path, time in counted.items()} == {counts_again}
    assert {path.stat().st_mtime_ns > time for path, time in judged.items()} == {judges_again}


def test_workers_map_the_repeated_paragraphs(tmp_path: Path) -> None:
    """What is sent to a worker is as small for many of them, and what it maps needs no copy to be searched."""
    hashes = np.arange(100_000, dtype=np.uint64)
    numbers = np.arange(100_000)
    stored = StoredRepeated(tmp_path / "many", Counted(hashes, numbers + 1, numbers + 2))
    sent = pickle.dumps(_Judge(RepeatedParagraphs(), stored, tmp_path))
    assert len(sent) < 5_000
    found = pickle.loads(pickle.dumps(stored)).open()
    assert found.hashes.flags.aligned and not found.hashes.flags.owndata
    for array, expected in ((found.hashes, hashes), (found.num_documents, numbers + 1), (found.firsts, numbers + 2)):
        assert array.dtype == expected.dtype and array.tolist() == expected.tolist()
    none = StoredRepeated(tmp_path / "none", Counted(hashes[:0], numbers[:0], numbers[:0])).open()
    assert len(none.hashes) == len(none.firsts) == 0


@pytest.mark.slow
@pytest.mark.parametrize(("keep", "unit"), [("first", "paragraph"), ("none", "line")])
def test_a_kill_in_either_pass_changes_no_byte(
    settings: Callable[..., dict[str, Any]],
    go: Go,
    typed: Lines,
    output_hashes: Any,
    tmp_path: Path,
    keep: str,
    unit: str,
) -> None:
    """Two workers are killed, with their parent as it reads of the second file's first partition that it is done."""
    corpus(tmp_path)
    change = {"paragraphs__unit": unit, "paragraphs__min_left_bytes": 250}
    result = go(settings("undisturbed", keep, **change))
    (stage,) = (stage for stage in result.stages if stage.name == "paragraphs")
    assert stage.facts["counts"][f"{unit}s_cut"] and stage.book["pages"].dropped[f"repeated_{unit}s_alone"]
    work = tmp_path / "killed" / "work" / "paragraphs"
    tree = settings("killed", keep, **change)
    runs, done = Runs(typed, tmp_path), {}
    for what in ("count", "judge"):
        run = runs.start(tree | {"executor": tree["executor"] | {"workers": 2}}, f"{work}/{what}-00001-00000", "open")
        assert ended(run)[0] == -signal.SIGKILL
        before, done = done, {path: path.stat().st_mtime_ns for path in work.glob("*.json")}
        assert len([path for path in done if path.name.startswith(what)]) >= 2 and not (work / "stage.json").exists()
        assert done.items() >= before.items()
    go(tree)
    assert output_hashes(tmp_path / "killed") == output_hashes(tmp_path / "undisturbed")
    assert {path: path.stat().st_mtime_ns for path in done} == done


@pytest.mark.parametrize("num_ranges", [1, 2, 7, 1000])
def test_every_count_is_in_one_range(tmp_path: Path, num_ranges: int) -> None:
    hashes = np.unique(np.random.default_rng(0).integers(0, 2**64, 500, dtype=np.uint64))
    borders = np.array([(number << 64) // num_ranges for number in range(num_ranges)], np.uint64)
    hashes = np.unique(np.concatenate([hashes, borders, borders - np.uint64(1)]))  # 0 - 1 is the largest of all
    numbers = np.arange(len(hashes))
    path = tmp_path / "counts.npz"
    write_counts(path, Counted(hashes, numbers, numbers))
    stored = StoredCounts.read(path, 10)
    found = [stored.of_range(number, num_ranges) for number in range(num_ranges)]
    assert np.concatenate([each.hashes for each in found]).tolist() == hashes.tolist()
    assert np.concatenate([each.num_documents for each in found]).tolist() == numbers.tolist()
    assert np.concatenate([each.firsts for each in found]).tolist() == (numbers + 10).tolist()
    assert all((each.hashes >= border).all() for each, border in zip(found, borders, strict=True))
