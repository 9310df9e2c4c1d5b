from __future__ import annotations

import re
from pathlib import Path

import pytest

from foundation.page import Explorer, Page
from tests.browser import drive, find_browser

MOVE = """(number, value) => {
    const box = document.querySelectorAll(".explorer")[number], slider = box.querySelector("input");
    slider.value = value;
    slider.dispatchEvent(new Event("input"));
    return box.querySelector("output").textContent;
}"""
EDGES = [0.0, 0.25, 0.5, 1.0, 2.0]
COUNTS = [40, 30, 20, 9, 1]


def make(side: str, limit: float, title: str = "score") -> Explorer:
    sizes, alone = [count * 1_000_000 for count in COUNTS], [count // 2 for count in COUNTS]
    return Explorer(title, EDGES, COUNTS, sizes, alone, side, limit, 10, 10_000_000, 5)  # type: ignore[arg-type]


def page_of(*explorers: Explorer) -> Page:
    page = Page("title")
    page.section("limits")
    for each in explorers:
        page.explorer(each)
    return page


def test_a_moved_slider_says_what_would_go_and_nothing_fails(tmp_path: Path) -> None:
    browser = find_browser()
    if browser is None:
        pytest.skip("needs chromium to open the page (Debian: apt-get install chromium)")
    path = page_of(make("most", 1.0), make("least", 0.5)).write(tmp_path / "page.html")
    move = (
        "(n, v) => {{ const b = document.querySelectorAll('.explorer')[n], s = b.querySelector('input'); s.value = v;"
    )
    move += " s.dispatchEvent(new Event('input')); return b.querySelector('output').textContent }}"
    asked = [f"({move.format()})({box}, {value})" for box, value in ((0, 2), (0, 5), (1, 2), (1, 0))]
    said, errors = drive(
        browser, tmp_path / "home", path, ["document.querySelectorAll('output')[0].textContent", *asked]
    )
    assert errors == []
    assert said == [
        "from 2: 1 document goes (1.00%), 0 of them for this alone; 1.0 MB of text",
        "from 0.5: 30 documents go (30.00%), 14 of them for this alone; 30.0 MB of text",
        "from all: 0 documents go (0.00%), 0 of them for this alone; 0.0 MB of text",
        "below 0.5: 70 documents go (70.00%), 35 of them for this alone; 70.0 MB of text",
        "below 0: 0 documents go (0.00%), 0 of them for this alone; 0.0 MB of text",
    ]


def test_another_script_does_not_run(tmp_path: Path) -> None:
    browser = find_browser()
    if browser is None:
        pytest.skip("needs chromium to open the page (Debian: apt-get install chromium)")
    html = page_of(make("most", 1.0)).html().replace("</section>", "<script>document.title = 'run'</script></section>")
    (tmp_path / "page.html").write_text(html)
    said, errors = drive(browser, tmp_path / "home", tmp_path / "page.html", ["document.title"])
    assert said == ["title"] and any("Content Security Policy" in error for error in errors)


def test_without_scripts_histogram_limit_and_what_it_takes_remain() -> None:
    html = page_of(make("most", 1.0, "<b>score</b>")).html()
    assert "<b>score" not in html and "&lt;b&gt;score" in html
    assert "at most 1: 10 go, 5 for this alone, 10.0 MB" in html
    assert html.count("<rect ") == len(EDGES)


def test_many_buckets_share_a_bar() -> None:
    many = [float(edge) for edge in range(500)]
    html = page_of(Explorer("s", many, [1] * 500, [1] * 500, [1] * 500, "most", 9.0, 1, 1, 1)).html()
    assert html.count("<rect ") == 72 and "per_bar&quot;: 7" in html


def test_a_page_without_a_slider_has_no_script() -> None:
    page = Page("title")
    page.section("text")
    assert "<script" not in page.html() and "script-src" not in page.html()
    assert re.search(r"script-src &#x27;sha256-|script-src 'sha256-", page_of(make("most", 1.0)).html())
