"""The journal: what is appended stays, also over crashes and resumes."""

from __future__ import annotations

import math
from pathlib import Path

import orjson
import pytest

from pretrain.stability.journal import Journal


def test_lines_come_back_and_are_valid_json(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run")
    assert journal.lines() == [] and not (tmp_path / "run").exists()
    journal.append({"step": 1, "loss": math.nan, "norm": -math.inf, "reason": "line\nbreak"})
    journal.append({"event": "other", "loss": math.inf})
    expected = [
        {"step": 1, "loss": "NaN", "norm": "-Infinity", "reason": "line\nbreak"},
        {"event": "other", "loss": "Infinity"},
    ]
    assert journal.lines() == expected
    raw = (tmp_path / "run" / "journal.jsonl").read_bytes()
    assert raw.endswith(b"\n") and [orjson.loads(line) for line in raw.splitlines()] == expected


def test_lines_from_a_step_on_move_aside_and_the_others_stay(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for step in (3, 5, 9, 12):
        journal.append({"step": step})
        journal.append({"event": f"after {step}"})  # belongs to the folder: no step
    assert journal.set_aside_from(9) == 2
    kept = [
        {"step": 3},
        {"event": "after 3"},
        {"step": 5},
        {"event": "after 5"},
        {"event": "after 9"},
        {"event": "after 12"},
    ]
    assert journal.lines() == kept
    dropped = (tmp_path / "journal.dropped.jsonl").read_bytes().splitlines()
    assert [orjson.loads(line) for line in dropped] == [{"step": 9}, {"step": 12}]
    assert journal.set_aside_from(9) == 0
    journal.append({"step": 10})
    assert journal.lines() == [*kept, {"step": 10}]


@pytest.mark.parametrize("cut", range(1, 10))
def test_a_line_that_a_crash_cut_short_moves_aside(tmp_path: Path, cut: int) -> None:
    journal = Journal(tmp_path)
    journal.append({"step": 1})
    path = tmp_path / "journal.jsonl"
    path.write_bytes(path.read_bytes() + b'{"step":2}'[:cut])
    assert journal.lines() == [{"step": 1}]
    assert journal.set_aside_from(2) == 1
    assert path.read_bytes() == b'{"step":1}\n'
    assert (tmp_path / "journal.dropped.jsonl").read_bytes() == b'{"step":2}'[:cut] + b"\n"


def test_nothing_to_move_writes_nothing(tmp_path: Path) -> None:
    assert Journal(tmp_path / "absent").set_aside_from(1) == 0
    assert not (tmp_path / "absent").exists()
