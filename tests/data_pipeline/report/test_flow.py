from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from data_pipeline.ledger import Account, Book
from data_pipeline.report.flow import CUT, NOTHING, Flow, show_flow
from data_pipeline.report.reasons import REASONS
from foundation.page import Page


def account(taken: int, **dropped: int) -> Account:
    return Account(num_in=taken, num_out=taken - sum(dropped.values()), dropped=Counter(dropped))


BOOKS: dict[str, Book] = {
    "clean": {"web": Account(12, 10, quarantined=Counter(no_json=2)), "books": account(4)},
    "filter": {"web": account(10, short=3, long=1), "books": account(4, short=1)},
    "paragraphs": {"web": account(6), "books": account(3)},
    "split": {"web": account(6), "books": account(3)},
}
FACTS: dict[str, dict[str, Any]] = {
    "clean": {
        "bytes_read": {"web": 1200, "books": 5000},
        "bytes_removed": {"web": {"no_json": 77}, "books": {}},
        "partitions": [
            {"source": "web", "utf8_bytes": 600},
            {"source": "web", "utf8_bytes": 400},
            {"source": "books", "utf8_bytes": 4000},
        ],
    },
    "filter": {
        "bytes_in_and_removed": {"web": [1000, 130], "books": [4000, 5]},
        "bytes_removed": {"web": {"short": 30, "long": 100}, "books": {"short": 5}},
        "measured": {"limits": []},
    },
    "paragraphs": {"bytes_in_and_removed": {"web": [870, 70], "books": [3995, 0]}, "bytes_removed": {}},
}
TITLES = {stage: stage for stage in BOOKS}


def shown(flow: Flow, parse_page: Callable[[str], Any], books: dict[str, Book] = BOOKS) -> Any:
    page = Page("corpus")
    page.section("Way")
    show_flow(page, books, TITLES, flow, lambda stage, reason: f"{stage}-{reason}")
    page.heading("short", "filter-short")
    return parse_page(page.html())


def test_the_text_of_each_stage_is_what_the_one_before_left_without_what_went() -> None:
    flow = Flow.of(BOOKS, FACTS)
    assert flow.left == {
        "clean": {"web": 1000, "books": 4000},
        "filter": {"web": 870, "books": 3995},
        "paragraphs": {"web": 800, "books": 3995},
        "split": {"web": 800, "books": 3995},
    }
    off = Flow.of(BOOKS | {"augment": BOOKS["split"]}, FACTS | {"augment": {"partitions": []}})
    assert off.left["augment"] == flow.left["split"]
    assert flow.removed["paragraphs"] == {"web": {CUT: 70}, "books": {}}
    assert flow.read == {"web": 1200, "books": 5000} and flow.measured == {"limits": []}


def test_changed_copies_are_added_to_the_text_before() -> None:
    books = BOOKS | {"augment": {"web": account(6), "books": account(3)}, "shards": {"web": account(8)}}
    added = {"augment": {"partitions": [{"source": "web", "utf8_bytes": 50}, {"source": "web", "utf8_bytes": 7}]}}
    left = Flow.of(books, FACTS | added).left
    assert (left["augment"], left["shards"]) == ({"web": 857, "books": 3995}, {"web": 857})


def test_every_stage_source_and_reason_has_its_documents_and_its_text(parse_page: Callable[[str], Any]) -> None:
    parsed = shown(Flow.of(BOOKS, FACTS), parse_page)
    documents, text, reasons, by_source = parsed.tables
    assert documents == [
        ["source", "read", "clean", "filter", "paragraphs", "split"],
        ["web", "12", "10", "6", "6", "6"],
        ["books", "4", "4", "3", "3", "3"],
        ["all", "16", "14", "9", "9", "9"],
    ]
    assert text[1:] == [
        ["web", "1.2 kB", "1.0 kB", "870 B", "800 B", "800 B"],
        ["books", "5.0 kB", "4.0 kB", "4.0 kB", "4.0 kB", "4.0 kB"],
        ["all", "6.2 kB", "5.0 kB", "4.9 kB", "4.8 kB", "4.8 kB"],
    ]
    assert reasons[1:] == [
        ["no_json", "2", "12.50%", "77 B", "clean", "unreadable", ""],
        ["short", "4", "25.00%", "35 B", "filter", "removed", ""],
        ["long", "1", "6.25%", "100 B", "filter", "removed", ""],
        [CUT, "–", "–", "70 B", "paragraphs", "cut", REASONS[CUT]],
    ]
    assert by_source[1:] == [
        ["web", "no_json", "2", "16.67%", "77 B", "clean", "unreadable"],
        ["web", "short", "3", "25.00%", "30 B", "filter", "removed"],
        ["web", "long", "1", "8.33%", "100 B", "filter", "removed"],
        ["web", CUT, "–", "–", "70 B", "paragraphs", "cut"],
        ["books", "short", "1", "25.00%", "5 B", "filter", "removed"],
    ]


def test_a_reason_leads_to_its_samples_and_nowhere_where_there_are_none(parse_page: Callable[[str], Any]) -> None:
    links = [attributes["href"] for attributes in shown(Flow.of(BOOKS, FACTS), parse_page).of("a")]
    assert links == ["#s0", "#s1", *["#filter-short"] * 3]


def test_without_facts_there_are_the_numbers_of_the_ledger(parse_page: Callable[[str], Any]) -> None:
    parsed = shown(NOTHING, parse_page)
    assert parsed.tables[1][2] == ["short", "4", "25.00%", "–", "filter", "removed", ""]
    only = {"clean": {"web": account(5)}}
    assert "Nothing." in shown(NOTHING, parse_page, only).texts
