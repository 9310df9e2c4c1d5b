"""Speed and memory on the page: numbers of a stage by hand; of an earlier version's records what there is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from data_pipeline.report.speed import show_speed
from foundation.page import Page

TITLES = {"clean": "clean", "filter": "filter", "split": "held-out split", "near": "near duplicates"}
TOOK = {
    "seconds": 4.0,
    "cpu_s": 6.0,
    "documents": 6000,
    "utf8_bytes": 8_000_000,
    "disk_bytes": 5_000_000,
    "main_bytes": 200_000_000,
    "worker_bytes": 150_000_000,
    "memory_bytes": 500_000_000,
}


def shown(timing: dict[str, Any], tmp_path: Path, parse_page: Callable[[Path], Any]) -> Any:
    page = Page("corpus")
    show_speed(page, timing, TITLES)
    return parse_page(page.write(tmp_path / "page.html"))


def test_what_a_stage_took_is_a_row(tmp_path: Path, parse_page: Callable[[Path], Any]) -> None:
    idle = {"seconds": 0.0, "cpu_s": 0.0, "documents": 6000, "utf8_bytes": 0, "main_bytes": 90_000_000}
    page = shown({"clean": TOOK, "filter": idle, "off": TOOK}, tmp_path, parse_page)
    (table,) = page.tables
    sizes = ["500.0 MB", "200.0 MB", "150.0 MB", "5.0 MB"]
    assert [[cell.replace("\u00a0", " ") for cell in row] for row in table[1:]] == [
        ["clean", "4.0", "2.0 MB/s", "1,500", "1.5", *sizes],
        ["filter", "0.0", "–", "6,000,000", "0.0", "–", "90.0 MB", "–", "–"],
    ]
    assert "4.0 s, 2.0 MB/s" in page.texts


def test_records_of_an_earlier_version_have_no_memory(tmp_path: Path, parse_page: Callable[[Path], Any]) -> None:
    early = {"seconds": 2.0, "documents": 44, "utf8_bytes": 5_000_000}
    (table,) = shown({"near": early}, tmp_path, parse_page).tables
    assert table[1] == ["near duplicates", "2.0", "2.5\u00a0MB/s", "22", *"–––––"]


def test_of_nothing_there_is_no_section(tmp_path: Path, parse_page: Callable[[Path], Any]) -> None:
    assert "Speed and memory" not in shown({}, tmp_path, parse_page).texts
