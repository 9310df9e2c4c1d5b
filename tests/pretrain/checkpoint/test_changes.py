"""Which changes of a journal are those that the run has made: on a timeline there is one way from step to step."""

from __future__ import annotations

from pathlib import Path

import pytest

from pretrain.checkpoint.changes import Change, is_left_behind, journal_lines
from pretrain.checkpoint.rules import Class
from pretrain.json_lines import JsonLines, read_lines


def line_of(step: int, new: str = "0.01") -> dict[str, object]:
    (line,) = journal_lines([Change("optim.lr", "0.1", new, Class.ASKS, True, "from here on")], step, {})
    return line


@pytest.mark.parametrize(
    ("line", "stays"),
    [
        (line_of(90, "0.02"), True),  # made before the checkpoint
        (line_of(100), True),  # this start makes it again
        (line_of(100, "0.02"), False),
        (line_of(110), False),
        ({"event": "skip", "step": 110}, True),  # the guard's, who drops his own
        ({"event": "checkpoint_set_aside"}, True),
    ],
)
def test_a_change_that_the_run_goes_on_without_leaves_the_journal(
    line: dict[str, object], stays: bool, tmp_path: Path
) -> None:
    journal = JsonLines(tmp_path / "journal.jsonl")
    journal.append(line, durable=True)
    journal.drop(lambda written: is_left_behind(written, [line_of(100)], 100))
    assert list(read_lines(journal.path if stays else journal.dropped_path)) == [line]
    assert list(read_lines(journal.dropped_path if stays else journal.path)) == []
