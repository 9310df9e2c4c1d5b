from __future__ import annotations

import html
import json
import random
import re
import shlex
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.report.limits import MOST_EDGES, anchors, show_limits, thinned
from foundation.page import Page

HOSTILE = "</p></details><script>alert(1)</script>\x1b[31m\"'&"


def sample(value: float, edge: float, kind: str = "nearest", **changes: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "value": value,
        "edge": edge,
        "alone": True,
        "id": "d1",
        "source": "web",
        "file": "a.jsonl",
        "row": 1234,
        "snippet": "text",
    } | changes


def limit(**changes: Any) -> dict[str, Any]:
    return {
        "score": "words",
        "end": "least",
        "threshold": 5.0,
        "reason": "too_few_words",
        "key": "rules.length.min_words",
        "group": None,
        "histogram": {"web": [[1.0, 2, 20, 1], [7.0, 10, 1000, 9]], "books": [[7.0, 1, 5000, 1]]},
        "taken": {"web": [2, 20, 1], "books": [0, 0, 0]},
        "samples": [sample(1.5, 1.0, id=HOSTILE, snippet=HOSTILE, source="web"), sample(7.0, 7.0)],
    } | changes


CHOICE = {
    "score": "language_label",
    "wanted": ["en"],
    "reason": "language_not_wanted",
    "key": "rules.language.languages",
    "labels": {"web": {"en": [10, 2000, 1, 100], "de": [3, 300, 3, 300]}, "books": {"de": [4, 40, 4, 40]}},
}


def page_of(*limits: dict[str, Any], choices: list[dict[str, Any]] | None = None) -> Page:
    page = Page("corpus")
    show_limits(page, {"limits": list(limits), "choices": choices or []})
    return page


def data_of(source: str) -> list[dict[str, Any]]:

    return [json.loads(html.unescape(each)) for each in re.findall(r'data-histogram="([^"]*)"', source)]


def test_a_limit_has_its_counts_by_source_its_key_and_its_samples(parse_page: Callable[[str], Any]) -> None:
    page = page_of(limit())
    (data,) = data_of(page.html())
    assert data == {
        "end": "least",
        "start": 1,
        "edges": ["1", "5", "7"],
        "setting": "clean.rules.length.min_words={}",
        "sources": {"web": "0,2,k,1 2,a,rs,9", "books": "2,1,3uw"},
    }
    parsed = parse_page(page.html())
    assert "2 of 13 documents go, 1 for this alone, 20 B of text" in parsed.text
    assert parsed.text.count("</p></details><script>alert(1)</script>␛[31m\"'&") == 2
    assert "web, a.jsonl, record 1,234" in parsed.texts
    assert [attributes["class"] for attributes in parsed.of("li")] == ["goes", "cut", "stays"]


def test_where_no_limit_is_set_nothing_goes_and_the_first_to_go_are_shown() -> None:
    shown = page_of(limit(end="most", threshold="inf", taken={"web": [0, 0, 0]}, key="")).html()
    (data,) = data_of(shown)
    assert (data["start"], data["edges"], data["setting"]) == (1, ["1", "7"], "")
    assert "no limit is set" in shown and "first to go by a limit" in shown and 'class="goes"' not in shown


def test_a_limit_of_a_group_is_set_by_the_groups_name(parse_page: Callable[[str], Any]) -> None:
    of_english = limit(score="language_score", group="en", key="rules.language.min_score_by_language")
    page = page_of(of_english, choices=[CHOICE])
    (data,) = data_of(page.html())
    assert data["setting"] == "'clean.rules.language.min_score_by_language={en:{}}'"
    parsed = parse_page(page.html())
    assert parsed.tables == [
        [
            ["label", "documents", "of all", "text", "gone", "text gone", "wanted"],
            ["en", "10", "58.82%", "2.0 kB", "1", "100 B", "yes"],
            ["de", "7", "41.18%", "340 B", "7", "340 B", "no"],
        ]
    ]
    assert "'clean.rules.language.languages=[en,de]'" in parsed.text
    assert anchors({"limits": [of_english]}) == {"too_few_words": "language_score-least-en"}


def test_names_that_hydra_reads_otherwise_are_quoted_for_it(parse_page: Callable[[str], Any]) -> None:
    name = "Simplified Chinese, old"
    choice = CHOICE | {"labels": {"web": {name: [10, 2000, 1, 100], "null": [3, 300, 3, 300]}}}
    page = page_of(limit(group=name), choices=[choice])
    (data,) = data_of(page.html())
    assert data["setting"] == "'clean.rules.length.min_words={Simplified Chinese\\, old:{}}'"
    line = shlex.quote("clean.rules.language.languages=['Simplified Chinese, old','null']")
    assert line in parse_page(page.html()).text


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=400, unique=True).map(sorted), st.integers(2, 50), st.data())
def test_thinned_edges_keep_the_ends_and_the_limit(edges: list[float], most: int, data: st.DataObject) -> None:
    threshold = data.draw(st.sampled_from(edges))
    kept = thinned(edges, threshold, most)
    assert kept == sorted(kept) and set(kept) <= set(edges) and len(kept) <= most + 1
    assert {edges[0], edges[-1], threshold} <= set(kept)


@pytest.mark.parametrize("end", ["least", "most"])
def test_thinning_loses_no_document_and_takes_what_the_limit_takes(end: str) -> None:
    rng = random.Random(1)
    edges = [float(place) for place in range(500)]
    rows = [[edge, rng.randint(1, 9), rng.randint(1, 99), 1] for edge in edges]
    gone = [row for row in rows if (row[0] < 123.0 if end == "least" else row[0] > 123.0)]
    taken = [sum(column) for column in zip(*(row[1:] for row in gone), strict=True)]
    changes = {"end": end, "threshold": 123.0, "histogram": {"web": rows}, "taken": {"web": taken}, "samples": []}
    (data,) = data_of(page_of(limit(**changes)).html())
    assert len(data["edges"]) <= MOST_EDGES + 1
    counts = [[int(each, 36) for each in entry.split(",")] for entry in data["sources"]["web"].split(" ")]
    start = data["start"]
    goes = [each for each in counts if (each[0] < start if end == "least" else each[0] > start)]
    assert sum(each[1] for each in counts) == sum(int(row[1]) for row in rows)
    assert [sum(each[1] for each in goes), sum(each[2] for each in goes)] == taken[:2]


def test_a_large_corpus_makes_no_large_page() -> None:
    """30 limits, 20 sources, every bucket in use, numbers of a corpus of terabytes, samples of the longest texts."""
    rng = random.Random(2)
    edges = [place / 1000 for place in range(300)]

    def rows() -> list[list[Any]]:
        return [[edge, rng.randint(1, 10**6), rng.randint(1, 10**10), rng.randint(1, 10**6)] for edge in edges]

    text = "a 'quoted' <text> " * 13
    drawn = [
        sample(edge, edge, kind, id="https://example.org/a/long/address/of/a/page/of/some/site", snippet=text)
        for kind in ("nearest", "by lot")
        for edge in edges[:10]
    ]
    limits = [
        limit(
            score=f"a_score_of_its_own_{number}",
            threshold=0.1,
            histogram={f"source-{source}": rows() for source in range(20)},
            taken={"web": [10, 10, 10]},
            samples=drawn,
        )
        for number in range(30)
    ]
    size = len(page_of(*limits).html().encode())
    assert 1_000_000 < size < 2_000_000


def test_nothing_measured_shows_nothing() -> None:
    page = Page("corpus")
    show_limits(page, {})
    assert "Scores" not in page.html()
