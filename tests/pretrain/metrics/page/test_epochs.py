from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundation.page import Page
from pretrain.metrics.lines import MetricsFile
from pretrain.metrics.page.epochs import LONG, MAX_ROWS, add_epochs
from pretrain.metrics.page.history import read_history

MakeLine = Callable[..., dict[str, Any]]


@pytest.fixture
def shown(tmp_path: Path, parse_page: Callable[[str], Any]) -> Callable[..., Any]:
    def show(lines: list[dict[str, Any]]) -> Any:
        file = MetricsFile(tmp_path)
        for line in lines:
            file.append(line)
        file.close()
        page = Page("title")
        add_epochs(page, read_history(tmp_path / "metrics.jsonl"))
        return parse_page(page.html())

    return show


def test_a_row_an_epoch_with_the_evaluation_at_its_end(make_line: MakeLine, shown: Callable[..., Any]) -> None:
    lines = [make_line(step, loss=float(step), epochs={"web": step / 10}, skipped=step == 3) for step in range(1, 25)]
    for step, loss in ((5, 4.5), (11, 4.25)):
        lines[step - 1] |= {"val_loss": loss}
    (table,) = shown(lines).tables
    assert table == [
        ["epoch", "steps", "training loss", "validation loss", "at step", "tokens", "time", "skipped"],
        ["1", "1 to 10", number((55 - 3) / 9), "4.25", "11", "9,216", "1s", "1"],
        ["2", "11 to 20", "15.5", "–", "–", "10,240", "1s", "0"],
        ["3, 40% read", "21 to 24", "22.5", "–", "–", "4,096", "0s", "0"],
    ]


def number(value: float) -> str:
    return f"{value:.4g}"


def test_each_source_has_its_own_loss_and_its_own_evaluation(make_line: MakeLine, shown: Callable[..., Any]) -> None:
    def line(step: int) -> dict[str, Any]:
        losses = {"source_losses": {"books": 2.0, "web": 4.0}, "source_tokens": {"books": 256, "web": 768}}
        return make_line(step, loss=3.5, epochs={"books": step / 2, "web": step / 4}, **losses)

    found = shown([line(1), line(2), line(3), line(4) | {"val_loss": 3.25, "val_loss/web": 3.75}])
    rows = {(row[0], row[1]): row[2:7] for row in found.tables[0][1:]}
    assert list(rows) == [("books", "1"), ("books", "2"), ("web", "1"), ("all sources", "1")]
    assert rows["books", "2"] == ["3 to 4", "2", "3.25", "4", "512"]
    assert rows["web", "1"] == ["1 to 4", "4", "3.75", "4", "3,072"]
    assert rows["all sources", "1"] == ["1 to 4", "3.5", "3.25", "4", "4,096"]


def test_a_run_that_has_read_nothing_once_has_no_such_section(make_line: MakeLine, shown: Callable[..., Any]) -> None:
    assert shown([make_line(1, epochs={"web": 0.5})]).tables == []


def test_of_many_the_newest_are_folded_away(make_line: MakeLine, shown: Callable[..., Any]) -> None:
    page = shown([make_line(step, epochs={"web": float(step)}) for step in range(1, MAX_ROWS + 11)])
    assert len(page.tables[0]) == MAX_ROWS + 1 > LONG and page.tables[0][1][0] == "11"
    assert f"The last {MAX_ROWS} of {MAX_ROWS + 10}." in page.texts and f"{MAX_ROWS} epochs" in page.texts
