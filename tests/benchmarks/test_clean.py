"""What the table of the quality filters rests on: the corpus, our side, and how verdicts are counted."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import orjson
import pytest

TEXTS = ["one two\nthree four\nfive", "a line\n" * 40, "The cat sat on the mat and that was it.\n" * 3]


@pytest.fixture(scope="module")
def clean(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("clean")


@pytest.fixture(scope="module")
def sides(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("clean_sides")


def test_texts_are_taken_again_begun_at_another_line(clean: ModuleType) -> None:
    made = list(clean.varied(TEXTS[:1], 60))
    assert made == [TEXTS[0], "three four\nfive\none two", "five\none two\nthree four"]
    assert clean.within(TEXTS, 10) == TEXTS[:1]
    assert clean.within(TEXTS, 10**9) == TEXTS


def test_tasks_hold_all_documents(clean: ModuleType, tmp_path: Path) -> None:
    num_docs, num_bytes = clean.write_tasks(TEXTS, 2000, tmp_path)
    written = [orjson.loads(line)["text"] for path in sorted(tmp_path.iterdir()) for line in path.open("rb")]
    assert len(written) == num_docs and sum(map(len, written)) == num_bytes >= 2000
    assert sorted(set(written)) == sorted(set(clean.varied(TEXTS, 2000)))


@pytest.mark.slow
def test_our_side_filters_and_judges_and_is_counted(clean: ModuleType, sides: ModuleType, tmp_path: Path) -> None:
    clean.write_tasks(TEXTS, 2000, tmp_path)
    clean.write(TEXTS, tmp_path / "some.jsonl")
    options = argparse.Namespace(peer_python=sys.executable)
    record = clean.run_side("groundwork", options, tmp_path)
    assert record["seconds"] >= record["filters_s"] > 0 and record["kept"] == 0
    judged = clean.run_side("groundwork-verdicts", options, tmp_path)
    assert [verdict["repetition.gopher_duplicate_lines"] for verdict in judged["verdicts"]] == [False, True, True]
    other = {"verdicts": [dict.fromkeys(judged["verdicts"][0], True)] * 3}
    rows = clean.verdict_table(judged, other, judged).splitlines()
    assert [cell.strip() for cell in rows[2].split("|")[1:-1]] == [
        "repetition.gopher_duplicate_lines", "2", "0", "1", "0", "0",
    ]  # fmt: skip
    assert len(rows) == 2 + len(judged["verdicts"][0])
    slower = record | {"filters_s": 176 * record["filters_s"]}
    assert "176.0" in clean.speed_table({"groundwork": [record], "datatrove": [slower]}, 10**6)
