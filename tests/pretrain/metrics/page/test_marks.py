from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pretrain.metrics.lines import MetricsFile
from pretrain.metrics.page.history import read_history
from pretrain.metrics.page.marks import MAX_MARKS, read_marks


def test_what_happened_is_marked_where_it_happened(tmp_path: Path, make_line: Callable[..., dict[str, Any]]) -> None:
    file = MetricsFile(tmp_path)
    for step in range(1, 11):
        file.append(make_line(step, skipped=step in (3, 5)))
    file.close()
    events: list[dict[str, Any]] = [
        {"event": "skip", "step": 5, "reason": "loss spike"},
        {"event": "new_level", "step": 6, "reason": "gradient norm spike"},
        {"event": "rewind", "number": 1, "at_step": 9, "to_step": 4, "reason": "five skips in a row"},
        {"event": "rewound", "number": 1},
        {"event": "change", "step": 2, "key": "optim.lr", "old": 0.1, "new": 0.2},
        {"event": "stop", "step": 10},
        {"event": "compute_fault", "number": 1, "at_step": 4},
        {"event": "dying_layer", "step": 8, "layer": "blocks.1", "looks": 10},
        {"event": "diverging", "step": 7, "steps": 10, "loss": 9.0, "first_loss": 5.0, "lr": 0.1},
        {"event": "asked", "at_step": 10, "what": "lr", "factor": 0.5, "num_steps": 100},
        {"event": "asked", "at_step": 1, "what": "save"},
    ]
    (tmp_path / "journal.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    attempts = [
        {"status": "failed", "step": 7, "reason": "RuntimeError: no\nmemory"},
        {"status": None, "step": None, "reason": None},
    ]
    (tmp_path / "attempts.json").write_text(json.dumps({"attempts": attempts}))
    marks = read_marks(tmp_path, read_history(tmp_path / "metrics.jsonl"))
    assert [(mark.step, mark.kind) for mark in marks] == [
        *((1, "change"), (2, "change"), (3, "skip"), (4, "warning"), (5, "skip"), (6, "level"), (7, "warning")),
        (7, "restart"),
        *((8, "warning"), (9, "rewind"), (10, "change")),
    ]
    texts = {mark.step: mark.text for mark in marks if mark.kind != "warning" or mark.step != 7}
    assert any(mark.text.startswith("the run diverges: for 10 steps") for mark in marks)
    assert texts[5] == "skipped: loss spike" and texts[3] == "skipped" and texts[2] == "optim.lr: 0.1 became 0.2"
    assert texts[9] == "rewind: back to step 4: five skips in a row"
    assert texts[8].startswith("blocks.1 learns nothing") and texts[4].startswith("done again, the step gave other")
    assert texts[1] == "asked by the control file: save" and texts[10] == "asked by the control file: lr 0.5"
    assert texts[7].startswith("start 1 ended: RuntimeError: no") and "\n" not in texts[7]


def test_of_many_the_newest_are_marked(tmp_path: Path) -> None:
    lines = [{"event": "skip", "step": step, "reason": "loss spike"} for step in range(MAX_MARKS + 50)]
    (tmp_path / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    marks = read_marks(tmp_path, read_history(tmp_path / "metrics.jsonl"))
    assert len(marks) == MAX_MARKS and marks[0].step == 50


def test_a_damaged_diary_gives_no_mark(tmp_path: Path) -> None:
    for text in ("{", "[]", '{"attempts": 3}'):
        (tmp_path / "attempts.json").write_text(text)
        assert read_marks(tmp_path, read_history(tmp_path / "metrics.jsonl")) == []
