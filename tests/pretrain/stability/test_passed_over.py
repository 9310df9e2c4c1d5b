"""Which batches of another run's journal are passed over, where that run had other batches than this one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pretrain.json_lines import JsonLines
from pretrain.plan import Plan
from pretrain.run_files import JOURNAL
from pretrain.stability.errors import JournalRefused
from pretrain.stability.guard import SkipGuard
from pretrain.stability.passed_over import order_of, windows_of

SKIPPED = {"event": "skip", "step": 11, "data_step": 10, "first_sample": 40, "last_sample": 43}


@pytest.mark.parametrize(("batch_size", "spans"), [(4, [[10, 11]]), (2, [[20, 22]]), (8, [[5, 6]]), (3, [[13, 15]])])
def test_what_a_journal_was_handed_is_handed_on_in_samples(
    make_guard: Callable[..., SkipGuard], plan: Plan, tmp_path: Path, batch_size: int, spans: list[list[int]]
) -> None:
    first = tmp_path / "first.jsonl"
    JsonLines(first).append(SKIPPED)
    third = replace(plan, global_batch_size=batch_size)
    assert windows_of(first, third) == spans
    guard = make_guard(skip_windows=str(first))  # a second run, whose batches are of 4
    guard.begin()
    assert [guard.batch_from(data_step) for data_step in (9, 10, 11)] == [9, 11, 11]
    assert windows_of(tmp_path / JOURNAL, third) == spans


@pytest.mark.parametrize(
    ("changed", "named"),
    [({"seed": 7}, "seed=7"), ({"seq_len": 16}, "trainer.seq_len=16"), ({"samples_per_epoch": 99}, "epoch=99")],
)
def test_numbers_of_other_texts_are_refused(
    make_guard: Callable[..., SkipGuard], plan: Plan, tmp_path: Path, changed: dict[str, int], named: str
) -> None:
    """A sample's number stands for another text under another seed or length, or of other data."""
    line = SKIPPED | {"order": order_of(replace(plan, **changed))}  # type: ignore[arg-type]
    JsonLines(tmp_path / "other.jsonl").append(line)
    with pytest.raises(JournalRefused, match=named):
        make_guard(skip_windows=str(tmp_path / "other.jsonl")).begin()
    assert not (tmp_path / JOURNAL).exists()


def test_a_journal_that_is_not_there_is_refused_before_the_run_begins(
    make_guard: Callable[..., SkipGuard], tmp_path: Path
) -> None:
    with pytest.raises(JournalRefused, match="is not there"):
        make_guard(skip_windows=str(tmp_path / "nowhere.jsonl"))


def test_a_journal_that_was_taken_may_go(
    make_guard: Callable[..., SkipGuard], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = tmp_path / "first.jsonl"
    JsonLines(first).append(SKIPPED)
    make_guard(skip_windows=str(first)).begin()
    assert "1, the first of them 10" in capsys.readouterr().err
    first.unlink()
    guard = make_guard(skip_windows=str(first))
    guard.begin()
    assert guard.batch_from(10) == 11


def test_a_journal_that_tells_of_nothing_is_refused(plan: Plan, tmp_path: Path) -> None:
    JsonLines(tmp_path / JOURNAL).append({"event": "new_level", "step": 3, "first_sample": 8, "last_sample": 11})
    with pytest.raises(JournalRefused, match="tells of no step that was skipped"):
        windows_of(tmp_path / JOURNAL, plan)
