"""Texts cut into pieces on a page, and a logarithmic x."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundation.page import Cut, CutText, Line, Page, Strong
from tests.browser import drive, find_browser

HOSTILE = "</p><script>document.title = 'run'</script>\x1b[31m"


def text_of(label: str, *words: str, group: str = "web") -> CutText:
    """A text that one cuts at words, and another into characters."""
    whole = "".join(words)
    by_words = Cut("words & all", f"{len(words)} tokens", [(word, (place,)) for place, word in enumerate(words)])
    return CutText(label, group, [by_words, Cut("characters", "", [(char, (ord(char), 7)) for char in whole])])


def page_of(*texts: CutText) -> Page:
    page = Page("title")
    page.section("cuts")
    page.cut_texts(texts)
    return page


def test_without_scripts_all_texts_stand_there_escaped(parse_page: Callable[[str], Any]) -> None:
    html = page_of(text_of("first", "one ", "two\n\t"), text_of("<b>second", HOSTILE, group="books")).html()
    parsed = parse_page(html)
    assert "<script>document" not in html and "\x1b" not in html and "<b>second" not in html
    assert [each["class"] for each in parsed.of("div") if each.get("class") == "cut"] == ["cut", "cut"]
    assert [each["label"] for each in parsed.of("optgroup")] == ["web", "books"]
    assert '<i title="1">two⏎\n⇥\t</i>' in html  # white space is drawn, and stays
    assert '<i title="111 7" class="several">o</i>' in html
    assert re.search(r"script-src 'sha256-[^']+'[;\"]", html)


def test_a_table_of_short_texts_counts_what_each_is(parse_page: Callable[[str], Any]) -> None:
    page = Page("title")
    page.section("cuts")
    page.cut_table(
        ["", "a", "b"], [("digits", text_of("", "12", "34").cuts), ("none", [Cut("a", "", []), Cut("b", "", [])])]
    )
    (table,) = parse_page(page.html()).tables
    assert table == [["", "a", "b"], ["digits", "1234 2", "1234 8"], ["none", " 0", " 0"]]
    assert "<script" not in page.html()


def test_one_text_is_shown_and_found_by_its_words(tmp_path: Path) -> None:
    browser = find_browser()
    if browser is None:
        pytest.skip("needs chromium to open the page (Debian: apt-get install chromium)")
    shown = "[...document.querySelectorAll('.cut')].map((each) => !each.hidden)"
    find = """(() => { const search = document.querySelector("input"); search.value = "%s";
        search.dispatchEvent(new Event("input")); return document.querySelector("output").textContent; })()"""
    point = """(() => { document.querySelectorAll(".cut")[1].querySelectorAll("i")[1].click();
        return [[...document.querySelectorAll(".here")].map((each) => each.textContent),
                document.querySelector(".told").textContent]; })()"""
    press = "document.querySelector('button').click()"
    page = page_of(text_of("a", "One ", "two"), text_of("b", "three ", "four"), text_of("c", "five", group="d")).write(
        tmp_path / "page.html"
    )
    expressions = [
        shown,
        press,
        shown,
        point,
        find % "FIVE",
        shown,
        press,
        shown,
        find % "none",
        shown,
        find % "o",
        press,
        shown,
    ]
    found, errors = drive(browser, tmp_path / "home", page, expressions)
    assert errors == []
    first, _, second, pointed, one, third, _, still, no_text, kept, two, _, back = found
    assert (first, second) == ([True, False, False], [False, True, False])
    assert pointed == [
        ["four", *"four"],
        "words & all: 1 token (1)   characters: 8 tokens (102, 7, 111, 7, 117, 7, 114, 7)",
    ]
    assert (one, third, still) == ("1 of 3 texts", [False, False, True], [False, False, True])
    assert (no_text, kept) == ("0 of 3 texts", [False, False, True])
    assert two == "2 of 3 texts" and back == [False, True, False]


def test_a_logarithmic_x_has_ticks_of_decades_and_tells_its_values() -> None:
    page = Page("title")
    page.section("curve")
    page.lines([Line("uses", [1, 10, 100, 1000], [8.0, 4.0, 2.0, 1.0])], "rank", "uses", log_y=True, log_x=True)
    html = page.html()
    ticks = re.findall(r'<span class="x[^"]*" style="left:([\d.]+)%">([^<]+)<', html)
    assert ticks == [("0.00", "1"), ("33.33", "10"), ("66.67", "100"), ("100.00", "1k")]
    (path,) = re.findall(r'class="line c0" d="([^"]+)"', html)
    assert [round(float(x)) for x in re.findall(r"[ML]([\d.]+) ", path)] == [0, 333, 667, 1000]
    told = re.findall(r"<b>rank ([\d,]+)   uses (\d)</b>", html)
    assert [tuple(each) for each in dict.fromkeys(told)] == [("1", "8"), ("10", "4"), ("100", "2"), ("1,000", "1")]


def test_a_strong_cell_is_bold_and_keeps_its_column_a_number() -> None:
    page = Page("title")
    page.section("table")
    page.table(["a", "b"], [[Strong("1.5"), 2], ["1.25", Strong("<x>")]])
    assert '<td class="n"><b>1.5</b></td>' in page.html() and "<td><b>&lt;x&gt;</b></td>" in page.html()
