from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from foundation.page import Counted, Drawn, Explorer, Link, Page, setting_of
from tests.browser import drive, find_browser

EDGES = [0.0, 0.25, 0.5, 1.0, 2.0]
HOSTILE = "</p><script>document.title = 'run'</script>\x1b[31m"
MOVE = """(number, value) => {
    const box = document.querySelectorAll(".explorer")[number], slider = box.querySelector("input");
    slider.value = value;
    slider.dispatchEvent(new Event("input"));
    return box.querySelector(".says").textContent;
}"""
CHOOSE = """(source) => {
    const choice = document.querySelector("select");
    choice.value = source;
    choice.dispatchEvent(new Event("change"));
}"""
SIDES = """[...document.querySelectorAll(".explorer")[0].querySelectorAll("li:not(.cut)")].map((each) =>
    each.hidden ? "" : each.querySelector("i").textContent + (each.classList.contains("changed") ? "!" : ""))"""
LINES = (
    "[...document.querySelectorAll('.typed')].map(each => each.hidden ? '' : each.querySelector('code').textContent)"
)


def samples() -> list[Drawn]:
    return [
        Drawn("nearest to the limit", 0.3, 2, True, "d1", "web", "a.jsonl, record 1", HOSTILE),
        Drawn("nearest to the limit", 0.9, 3, False, "<b>d2", "web", "a.jsonl, record 2", "text"),
        Drawn("nearest to the limit", 1.5, 4, True, "d3", "books & co", "b.jsonl, record 3", "text"),
    ]


def make(end: Literal["least", "most"], limit: float, **changes: Any) -> Explorer:
    """Of 100 documents: 40, 30, 20, 9 and 1 of a web page's million bytes each; books have 10 in the last bucket."""
    web = {place: Counted(n, n * 1_000_000, n // 2) for place, n in enumerate((40, 30, 20, 9, 1))}
    fields: dict[str, Any] = {
        "anchor": "score-most",
        "title": "score",
        "note": "",
        "end": end,
        "limit": limit,
        "edges": EDGES,
        "counts": {"web": web, "books & co": {4: Counted(10, 10, 10)}},
        "taken": Counted(11, 1_000_010, 10),
    }
    return Explorer(**(fields | changes))


def page_of(*explorers: Explorer) -> Page:
    page = Page("title")
    page.section("limits")
    page.explorers(explorers, "to the command")
    return page


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[Page, list[str]], tuple[list[Any], list[str]]]:
    """Open a page in a browser and evaluate expressions in it; returns their values and the page's errors."""
    browser = find_browser()
    if browser is None:
        pytest.skip("needs chromium to open the page (Debian: apt-get install chromium)")

    def opened(page: Page, expressions: list[str]) -> tuple[list[Any], list[str]]:
        return drive(browser, tmp_path / "home", page.write(tmp_path / "page.html"), expressions)

    return opened


def test_a_moved_slider_says_what_would_go_of_which_source_and_what_to_type(
    opened: Callable[[Page, list[str]], tuple[list[Any], list[str]]],
) -> None:
    most = make("most", 1.0, samples=samples(), setting="clean.a.most={}")
    least = make("least", 0.5, anchor="other", setting=setting_of("clean.a.least", "en"))
    move = [f"({MOVE})({box}, {value})" for box, value in ((0, 2), (1, 3), (0, 3))]
    first, moved, two, all_lines, back, one_line, _, books, shown, _, web, loaded, errors = (
        *(found := opened(
            page_of(most, least),
            [SIDES, move[0], SIDES, LINES, move[1], LINES, f"({CHOOSE})('books & co')",
             "document.querySelector('.says').textContent", SIDES, f"({CHOOSE})('web')", move[2],
                 "performance.getEntriesByType('resource').length"],
        ))[0],
        found[1],
    )  # fmt: skip
    assert errors == []
    assert first == ["stays", "passes", "goes"]
    assert moved == "at most 0.5 20 of 110 documents would go (18.18%), 14 for this alone, 10.0 MB of text"
    assert two == ["stays", "would go!", "goes"]
    assert all_lines == ["clean.a.most=0.5", "", ""]
    assert back == "at least 1 90 of 110 documents would go (81.82%), 45 for this alone, 90.0 MB of text"
    assert one_line == ["clean.a.most=0.5", "'clean.a.least={en:1}'", "clean.a.most=0.5 'clean.a.least={en:1}'"]
    assert books == "at most 0.5 10 of 10 documents would go (100.00%), 10 for this alone, 10 B of text"
    assert shown == ["", "", "goes"]
    assert loaded == 0
    assert web == "at most 1 1 of 100 documents goes (1.00%), 0 for this alone, 1.0 MB of text"


def test_a_limit_that_is_not_set_yet_starts_where_nothing_goes(
    opened: Callable[[Page, list[str]], tuple[list[Any], list[str]]],
) -> None:
    page = page_of(make("most", math.inf, taken=Counted(0, 0, 0), setting="clean.max_count={}"))
    says = "document.querySelector('.says').textContent"
    (start, moved, back), errors = opened(page, [says, f"({MOVE})(0, 3)", f"({MOVE})(0, 4)"])
    assert errors == []
    assert start == back == "no limit is set 0 of 110 documents go (0.00%), 0 for this alone, 0 B of text"
    assert moved == "at most 1 11 of 110 documents would go (10.00%), 10 for this alone, 1.0 MB of text"


def test_a_link_to_a_limit_unfolds_its_samples(
    opened: Callable[[Page, list[str]], tuple[list[Any], list[str]]],
) -> None:
    page = page_of(make("most", 1.0, anchor="a <b> score", samples=samples()))
    page.table(["reason"], [[Link("reason", "a <b> score")], [Link("nothing", "not shown")]])
    follow = "document.querySelector('td a').click(); new Promise(done => setTimeout(done, 200))"
    (links, before, _, after), errors = opened(
        page,
        ["document.querySelectorAll('td a').length", "document.querySelector('details').open", follow,
         "document.querySelector('details').open"],
    )  # fmt: skip
    assert errors == []
    assert (links, before, after) == (1, False, True)


def test_an_address_that_names_nothing_is_no_error(
    opened: Callable[[Page, list[str]], tuple[list[Any], list[str]]],
) -> None:
    page = page_of(make("most", 1.0, anchor="100%", samples=samples()))
    isopen = "document.querySelector('details').open"
    go = "location.hash = '{}'; new Promise(done => setTimeout(done, 100))"
    (_, before, _, after), errors = opened(page, [go.format("%"), isopen, go.format("100%"), isopen])
    assert errors == []
    assert (before, after) == (False, True)


def test_another_script_does_not_run(opened: Callable[[Page, list[str]], tuple[list[Any], list[str]]]) -> None:
    page = page_of(make("most", 1.0))
    page._body.append("<script>document.title = 'run'</script>")
    said, errors = opened(page, ["document.title"])
    assert said == ["title"] and any("Content Security Policy" in error for error in errors)


def test_without_scripts_histogram_limit_samples_and_what_it_takes_remain() -> None:
    html = page_of(make("most", 1.0, title="<b>score</b>", samples=samples())).html()
    assert "<b>score" not in html and "&lt;b&gt;score" in html
    assert "<b>at most 1</b> <output>11 of 110 documents go, 10 for this alone, 1.0 MB of text" in html
    assert html.count("<rect") == len(EDGES) and html.count("<rect class=gone") == 1
    assert "<script>document" not in html and "\x1b" not in html and "&lt;b&gt;d2" in html
    verdicts = re.findall(r'<li class="(\w+)"', html)
    assert verdicts == ["stays", "passes", "cut", "goes"]
    assert "a.jsonl, record 2; goes for another reason" in html


def test_where_all_have_one_score_there_is_nothing_to_move() -> None:
    html = page_of(make("least", 1.0, edges=[1.0], counts={"web": {0: Counted(5, 5, 5)}})).html()
    assert "<svg hidden" in html and re.search(r"<input [^>]* hidden ", html)
    assert "Source <select" not in html


def test_a_page_without_a_slider_has_no_script() -> None:
    page = Page("title")
    page.section("text")
    assert "<script" not in page.html() and "script-src" not in page.html()
    assert re.search(r"script-src 'sha256-", page_of(make("most", 1.0)).html())


def test_what_is_typed_survives_a_shell() -> None:
    assert setting_of("clean.rules.a.most", None) == "clean.rules.a.most={}"
    assert setting_of("clean.rules.a.most", "en") == "'clean.rules.a.most={en:{}}'"
    assert setting_of("clean.rules.my rule.most", None) == "'clean.rules.my rule.most={}'"
    assert setting_of("", "en") == ""
