"""Which batches of another run's journal are passed over, where that run had other batches than this one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pretrain.json_lines import JsonLines
from pretrain.run_files import JOURNAL
from pretrain.stability.errors import GuardError
from pretrain.stability.guard import SkipGuard
from pretrain.stability.passed_over import windows_of

SKIPPED = {"event": "skip", "step": 11, "data_step": 10, "first_sample": 40, "last_sample": 43}


@pytest.mark.parametrize(("batch_size", "spans"), [(4, [[10, 11]]), (2, [[20, 22]]), (8, [[5, 6]]), (3, [[13, 15]])])
def test_what_a_journal_was_handed_is_handed_on_in_samples(
    make_guard: Callable[..., SkipGuard], tmp_path: Path, batch_size: int, spans: list[list[int]]
) -> None:
    first = tmp_path / "first.jsonl"
    JsonLines(first).append(SKIPPED)
    assert windows_of(first, batch_size) == spans
    guard = make_guard(skip_windows=str(first))  # a second run, whose batches are of 4
    guard.begin()
    assert [guard.batch_from(data_step) for data_step in (9, 10, 11)] == [9, 11, 11]
    assert windows_of(tmp_path / JOURNAL, batch_size) == spans  # as a third one takes them up


def test_a_journal_that_tells_of_nothing_is_refused(tmp_path: Path) -> None:
    JsonLines(tmp_path / JOURNAL).append({"event": "new_level", "step": 3, "first_sample": 8, "last_sample": 11})
    with pytest.raises(GuardError, match="tells of no step that was skipped"):
        windows_of(tmp_path / JOURNAL, 4)
