"""Files of JSON lines: what is appended stays, also over crashes and resumes."""

from __future__ import annotations

import itertools
import math
import os
import tempfile
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain.json_lines import JsonLines, lines_from_end, read_blocks, read_lines


def test_lines_come_back_and_are_valid_json(tmp_path: Path) -> None:
    journal = JsonLines(tmp_path / "run" / "journal.jsonl")
    assert list(read_lines(journal.path)) == [] and not (tmp_path / "run").exists()
    journal.append({"step": 1, "loss": math.nan, "norm": -math.inf, "reason": "line\nbreak"}, durable=True)
    journal.append({"event": "other", "loss": math.inf}, durable=True)
    expected = [
        {"step": 1, "loss": "NaN", "norm": "-Infinity", "reason": "line\nbreak"},
        {"event": "other", "loss": "Infinity"},
    ]
    assert list(read_lines(journal.path)) == expected
    raw = (tmp_path / "run" / "journal.jsonl").read_bytes()
    assert raw.endswith(b"\n") and [orjson.loads(line) for line in raw.splitlines()] == expected


def test_lines_from_a_step_on_move_aside_and_the_others_stay(tmp_path: Path) -> None:
    journal = JsonLines(tmp_path / "journal.jsonl")
    for step in (3, 5, 9, 12):
        journal.append({"step": step}, durable=True)
        journal.append({"event": f"after {step}"}, durable=True)  # belongs to the folder: no step
    assert journal.drop_after(8) == 5
    kept = [
        {"step": 3},
        {"event": "after 3"},
        {"step": 5},
        {"event": "after 5"},
        {"event": "after 9"},
        {"event": "after 12"},
    ]
    assert list(read_lines(journal.path)) == kept
    dropped = (tmp_path / "journal.dropped.jsonl").read_bytes().splitlines()
    assert [orjson.loads(line) for line in dropped] == [{"step": 9}, {"step": 12}]
    assert journal.drop_after(8) == 5
    journal.append({"step": 10}, durable=True)
    assert list(read_lines(journal.path)) == [*kept, {"step": 10}]


@pytest.mark.parametrize("cut", range(1, 10))
def test_a_line_that_a_crash_cut_short_moves_aside(tmp_path: Path, cut: int) -> None:
    journal = JsonLines(tmp_path / "journal.jsonl")
    journal.append({"step": 1}, durable=True)
    path = tmp_path / "journal.jsonl"
    path.write_bytes(path.read_bytes() + b'{"step":2}'[:cut])
    assert list(read_lines(journal.path)) == [{"step": 1}]
    assert journal.drop_after(1) == 1
    assert path.read_bytes() == b'{"step":1}\n'
    assert list(read_lines(journal.dropped_path)) == [{"torn": '{"step":2}'[:cut]}]


@pytest.mark.parametrize("cut", range(1, 10))
def test_a_line_after_a_torn_one_is_whole(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "journal.jsonl"
    JsonLines(path).append({"step": 1}, durable=True)
    path.write_bytes(path.read_bytes() + b'{"step":2}'[:cut])
    JsonLines(path).append({"event": "other"})
    assert list(read_lines(path)) == [{"step": 1}, {"event": "other"}]


@pytest.mark.parametrize("cut", range(1, 10))
def test_what_moves_aside_begins_a_line_of_its_own(tmp_path: Path, cut: int) -> None:
    journal = JsonLines(tmp_path / "journal.jsonl")
    for step in (1, 2, 3):
        journal.append({"step": step})
    journal.dropped_path.write_bytes(b'{"step":2}'[:cut])  # a crash amid an earlier attempt
    assert journal.drop_after(1) == 1
    assert list(read_lines(journal.path)) == [{"step": 1}]
    assert list(read_lines(journal.dropped_path)) == [{"step": 2}, {"step": 3}]


def test_after_a_full_disk_the_next_line_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, write = JsonLines(tmp_path / "journal.jsonl"), os.write
    journal.append({"step": 1})
    with monkeypatch.context() as full, pytest.raises(OSError, match="No space left"):
        full.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:5]))
        journal.append({"step": 2})
    journal.append({"step": 3})
    assert list(read_lines(journal.path)) == [{"step": 1}, {"step": 3}]


def test_nothing_to_move_writes_nothing(tmp_path: Path) -> None:
    assert JsonLines(tmp_path / "absent" / "journal.jsonl").drop_after(1) == 0
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("names_kept", [True, False])
def test_a_machine_that_loses_power_loses_no_line(tmp_path: Path, disk: Any, names_kept: bool) -> None:
    run_dir, moments = tmp_path / "run", itertools.count()
    run_dir.mkdir()

    def found() -> list[int]:
        folder = disk.after_power_loss(run_dir, tmp_path / f"found{next(moments)}", names_kept)
        paths = (folder / "journal.jsonl", folder / "journal.dropped.jsonl")
        return [
            orjson.loads(line)["step"] for path in paths if path.exists() for line in path.read_bytes().splitlines()
        ]

    journal = JsonLines(run_dir / "journal.jsonl")
    for step in (1, 2, 3):
        journal.append({"step": step}, durable=True)
        assert found() == list(range(1, step + 1))
    disk.then = lambda path: None if {1, 2, 3} <= set(found()) else pytest.fail(f"lines lost at the flush of {path}")
    journal.drop_after(1)
    assert found() == [1, 2, 3]
    assert next(moments) > 6


@settings(max_examples=200, deadline=None)
@given(pieces=st.lists(st.binary(max_size=9) | st.just(b"\n"), max_size=12), block_bytes=st.integers(1, 12))
def test_lines_from_the_end_are_those_from_the_beginning_turned_round(pieces: list[bytes], block_bytes: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.jsonl"
        assert list(lines_from_end(path)) == []
        path.write_bytes(b"".join(pieces))
        with path.open("rb") as file:
            plain = [raw for raw in file if raw.endswith(b"\n")][::-1]
        assert list(lines_from_end(path, block_bytes)) == plain


@settings(max_examples=60, deadline=None)
@given(cuts=st.lists(st.tuples(st.integers(1, 6), st.integers(0, 12)), min_size=1, max_size=8))
def test_lines_are_read_as_they_were_dropped_together(cuts: list[tuple[int, int]]) -> None:
    """Each time some steps are done, then all after one are dropped."""
    with tempfile.TemporaryDirectory() as folder:
        file, kept, dropped = JsonLines(Path(folder) / "x.jsonl"), list[int](), list[list[int]]()
        for more, to_step in cuts:
            for step in range(len(kept) + 1, len(kept) + 1 + more):
                file.append({"step": step})
                kept.append(step)
            file.drop_after(to_step)
            kept, gone = kept[:to_step], kept[to_step:]
            dropped += [gone] if gone else []
        blocks = list(read_blocks(file.dropped_path))
        assert [[line["step"] for line in block] for block in blocks] == dropped
        whole = [step for block in dropped for step in block]
        assert [line["step"] for line in read_lines(file.dropped_path)] == whole
