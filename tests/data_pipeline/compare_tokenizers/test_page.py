"""The page in a parser and in a browser: its tables hold the figures, its controls work, no text of it runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.compare_tokenizers.compare import Result
from data_pipeline.compare_tokenizers.examples import SHORT, WRITTEN, excerpt
from tests.browser import drive, find_browser

HOSTILE = "</i><script>document.title = 'run'</script>\x1b[31m <b>bold</b> \u202e text of a merchant and his bridges"
SHOWN = "[...document.querySelectorAll('.cut')].filter((each) => !each.hidden).length"
CUT = "[...document.querySelectorAll('.cut')].find((each) => !each.hidden)"
CHOOSE = """(() => { const select = document.querySelector(".cuts select"); select.value = select.options[%d].value;
    select.dispatchEvent(new Event("change")); return document.querySelectorAll(".cut")[%d].hidden; })()"""
SEARCH = """(() => { const search = document.querySelector(".cuts input"); search.value = "%s";
    search.dispatchEvent(new Event("input")); return document.querySelector(".cuts output").textContent; })()"""
POINT = f"""(() => {{ const piece = {CUT}.querySelectorAll(".pieces i")[1];
    piece.dispatchEvent(new PointerEvent("pointerover", {{ bubbles: true }}));
    return [document.querySelectorAll(".here").length > 1, document.querySelector(".told").textContent]; }})()"""


@pytest.fixture(scope="module")
def made_page(
    compare: Callable[..., Result], texts: list[str], other: Path, small: Path, tmp_path_factory: pytest.TempPathFactory
) -> Result:
    """A comparison with a text that would run and hide things if it could."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "docs.txt").write_text("\n\n\n".join([HOSTILE, *texts[:60]]))
    source = {"_target_": "data_pipeline.sources.text.Text", "paths": [str(folder / "docs.txt")], "separator": "\n\n\n"}
    return compare(folder, corpus=source, tokenizers=[str(small), str(other)], examples_per_source=61)


def test_the_tables_hold_the_figures(made_page: Result, parse_page: Callable[[Path], Any]) -> None:
    page = parse_page(made_page.page)
    first, second, sources, *_ = page.tables
    for row, found in zip(first[1:], made_page.figures, strict=True):
        assert row[:3] == [found.name, f"{found.vocab_size:,}", f"{found.whole.bytes_per_token:.3f}"]
    assert [row[-1] for row in second[1:]] == ["all", "all"]
    (rates,) = (list(each.groups["source"].values()) for each in made_page.figures[:1])
    assert sources[1][1] == f"{rates[0].documents:,}"
    (cuts,) = [table for table in page.tables if table[1][0] == SHORT[0][0]]
    assert [row[0] for row in cuts[1:]] == [label for label, _ in SHORT]
    assert all(SHORT[0][1] in cell for cell in cuts[1][1:])


def test_hostile_text_is_drawn(made_page: Result) -> None:
    source = made_page.page.read_text(encoding="utf-8")
    assert "<script>document.title" not in source and "<b>bold" not in source
    assert "\x1b" not in source and "\u202e" not in source


def test_the_controls_work_in_a_browser(made_page: Result, tmp_path: Path) -> None:
    browser = find_browser()
    if browser is None:
        pytest.skip("needs chromium to open the page (Debian: apt-get install chromium)")
    total = 61 + len(WRITTEN)
    next_one = "document.querySelector('.cuts button').click(); " + f"{CUT}.querySelector('h4').textContent"
    (texts, first, chosen, found, one, none, again, following, pointed, loaded, wide), errors = drive(
        browser,
        tmp_path / "home",
        made_page.page,
        ["document.querySelectorAll('.cut').length", SHOWN, CHOOSE % (65, 65), SEARCH % "12345678", SHOWN,
         SEARCH % "never written", SEARCH % "", next_one, POINT,
         "performance.getEntriesByType('resource').length",
         "document.documentElement.scrollWidth <= innerWidth"],
    )  # fmt: skip
    assert errors == []
    assert (texts, first, chosen, one, loaded, wide) == (total, 1, False, 1, 0, True)
    assert found == f"1 of {total} texts" and none == f"0 of {total} texts" and again == ""
    assert following.startswith("written for this page: ")
    is_marked, told = pointed
    assert is_marked and all(f"{each.name}: " in told for each in made_page.figures)


def test_an_excerpt_begins_with_a_word_or_a_line() -> None:
    text = "one two three four five six seven eight nine ten"
    for lot in range(100):
        part = excerpt(text, 20, lot)
        assert part in text and len(part) <= 20
        assert text.startswith(part) or text[text.index(part) - 1] == " "
    assert excerpt("short", 20, 7) == "short" and excerpt("", 20, 7) == ""
    assert len(excerpt("x" * 1000, 100, 12345)) == 100
