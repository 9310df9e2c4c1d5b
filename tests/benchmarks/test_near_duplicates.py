"""What the table of near-duplicates rests on: copies of known kinds, sides that do the work, their removals judged."""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def near(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("near_duplicates")


@pytest.fixture(scope="module")
def copies(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("edited_copies")


@pytest.fixture(scope="module")
def texts() -> list[str]:
    rng = random.Random(0)
    return ["\n".join(" ".join(f"w{rng.randrange(5000)}" for _ in range(9)) for _ in range(60)) for _ in range(40)]


def test_every_edit_gives_about_the_similarity_it_is_asked_for(
    near: ModuleType, copies: ModuleType, texts: list[str]
) -> None:
    rng = random.Random(1)
    for edit in copies.EDITS:
        missed = []
        for text in texts:
            words = [word + " " for word in text.split()]
            (pair,) = near.all_pairs([text, "".join(edit(words, 0.8, rng))], 0.1, 5).similarity
            missed.append(pair - 0.8)
        assert abs(statistics.mean(missed)) < 0.05, edit.__name__


def test_copies_are_the_same_for_a_seed(copies: ModuleType, texts: list[str]) -> None:
    made = copies.edited_copies(texts, 0.5, seed=3)
    assert made == copies.edited_copies(texts, 0.5, seed=3) != copies.edited_copies(texts, 0.5, seed=4)
    assert 10 < len(made) <= 60
    assert not set(made) & set(texts)
    assert copies.edited_copies(["too short", *texts], 0.0, seed=3) == []


def test_a_corpus_is_a_file_or_a_folder(near: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "a.py").write_text("first = 1")
    (tmp_path / "b.rst").write_text("second")
    (tmp_path / "empty.md").write_text(" \n")
    (tmp_path / "c.so").write_bytes(b"\xff")
    assert near.read_corpus(tmp_path, None) == ["second", "first = 1"]
    path = tmp_path / "c.jsonl"
    path.write_text('{"text": "one"}\n{"text": "three"}\n{"text": "five"}\n')
    assert near.read_corpus(path, None) == ["one", "three", "five"]
    assert near.read_corpus(path, 8) == ["one"]
    with pytest.raises(argparse.ArgumentTypeError, match="NAME=PATH"):
        near.named_corpus(f"name={path}x")


@pytest.mark.slow
def test_both_sides_are_measured_and_judged(near: ModuleType, texts: list[str], tmp_path: Path) -> None:
    short = "a few words"  # datasketch's shingles of it are ours
    documents = [*texts, *texts[:3], short, short]
    num_bytes = near.write_documents(documents, tmp_path)
    assert num_bytes == sum(len(text.encode()) for text in documents)
    lines = [json.loads(line) for path in sorted((tmp_path / "documents").iterdir()) for line in path.open()]
    assert [(int(line["id"]), line["text"]) for line in lines] == list(enumerate(documents))
    options = argparse.Namespace(workers=[2], partition_bytes=1 << 14, peers=True, peer_python=sys.executable)
    sides = near.contenders(options, tmp_path)
    pairs = near.all_pairs(documents, 0.8, 5)
    assert len(pairs.first) == 4
    records = {side: [sides[side]()] for side in ("groundwork, 2 workers", "datasketch MinHashLSH")}
    for (record,) in records.values():
        assert near.judge_key(record, pairs, len(documents)) == ("4", "100.00%", "-", "-", "-", "100.00%", "0")
        assert record["whole_s"] > record["seconds"] > 0
        assert record["tree_mb"] > 50
    records["datatrove, 4 stages"] = [{"missing": "No module named 'datatrove'"}]
    assert "not measured: No module named 'datatrove'" in near.speed_table(records, num_bytes)
    assert len(near.truth_table(records, pairs, len(documents)).splitlines()) == 4


def test_rates_are_multiples_of_the_base(near: ModuleType) -> None:
    base = [{"seconds": 4.0, "whole_s": 6.0, "tree_mb": 5.0, "note": ""}] * 3
    ours = [{"seconds": each, "whole_s": 3.0, "tree_mb": each, "note": "n"} for each in (1.0, 2.0, 0.5)]
    line = near.speed_table({"ours": ours, near.BASE: base}, 8_000_000).splitlines()[2]
    cells = [cell.strip() for cell in line.split("|")[1:-1]]
    assert cells == ["ours", "1.00 (0.50 to 2.00)", "8.0 (4.0 to 16.0)", "4.0", "3.00 (3.00 to 3.00)", "2.0", "2", "n"]
