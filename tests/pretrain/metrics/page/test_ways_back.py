"""The table of a run's ways back, against a journal written by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from foundation.page import Page
from pretrain.metrics.lines import MetricsFile
from pretrain.metrics.page.history import read_history
from pretrain.metrics.page.ways_back import add_ways_back, passed_over

WHY = "3 of the last 16 steps were skipped"
WINDOW = {"first_data_step": 10, "end_data_step": 1_026, "lr_factor": 0.9, "lr_cut_steps": 1_000}
JOURNAL: list[dict[str, Any]] = [
    {"event": "windows_taken", "journal": "runs/a/journal.jsonl", "windows": [[3, 4], [6, 9]]},
    {"event": "skip", "step": 21, "reason": "a spike"},
    {"event": "replay", "number": 1, "at_step": 23, "to_step": 10, "reason": WHY},
    {"event": "replaying", "number": 1},
    {"event": "rewind", "number": 2, "at_step": 23, "to_step": 10, "reason": WHY, **WINDOW},
    {"event": "rewound", "number": 2},
    {"event": "no_way_back", "at_step": 2_000, "reason": "the loss rises"},
]


def cells(page: Page, folder: Path) -> list[str]:
    html = page.write(folder / "page.html").read_text()
    return [re.sub("<[^>]+>", "", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", html)]


def test_each_way_back_has_a_row(tmp_path: Path, make_line: Callable[..., dict[str, Any]]) -> None:
    (tmp_path / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in JOURNAL))
    file = MetricsFile(tmp_path)
    for step in (1, 2, 3):
        file.append(make_line(step, data_step=step - 1 + 1_020 * (step == 3)))
    file.close()
    history, page = read_history(tmp_path / "metrics.jsonl"), Page("x", "y")
    assert passed_over(history) == 1_020
    add_ways_back(page, tmp_path, history)
    shown = cells(page, tmp_path)
    assert [shown[place : place + 5] for place in range(0, len(shown), 5)] == [
        ["–", "from the beginning", "3 to 3, 6 to 8", "", "as runs/a/journal.jsonl says"],
        ["23", "back to step 10, the same steps again", "", "", WHY],
        ["23", "back to step 10, on with other batches", "10 to 1,025", "x 0.9 for 1,000 steps", WHY],
        [
            "2,000",
            "there is no healthy checkpoint from before it to go back to; the run goes on",
            "",
            "",
            "the loss rises",
        ],
    ]
    assert "1,020 batches were passed over" in (tmp_path / "page.html").read_text()


def test_a_run_that_never_went_back_has_no_such_table(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_text(json.dumps(JOURNAL[1]) + "\n")
    page = Page("x", "y")
    add_ways_back(page, tmp_path, read_history(tmp_path / "metrics.jsonl"))
    assert not cells(page, tmp_path)
