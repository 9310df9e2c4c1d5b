from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.clean.rules import Example
from data_pipeline.clean.unicode import Unicode
from data_pipeline.documents import from_texts
from data_pipeline.ledger import Account, ledger_json
from data_pipeline.report.counts import MEANINGS
from data_pipeline.report.page import length_bins, read_books, write_report
from data_pipeline.report.reasons import REASONS
from data_pipeline.shards.errors import ShardError
from foundation.files import read_json

TITLES = {
    "clean": "clean",
    "exact": "exact duplicates",
    "near": "near duplicates",
    "split": "held-out split",
    "decontaminate": "decontaminate",
    "tokenizer": "tokenizer",
    "shards": "shards",
}


def test_the_numbers_are_those_of_the_ledger_and_the_manifest(
    output_dir: Path, parse_page: Callable[[Path], Any]
) -> None:
    page = parse_page(write_report(output_dir, TITLES, {}))
    assert page.facts["Documents kept"] == "11"
    assert page.facts["of all that were read"] == "25.00%"  # 11 of 44
    assert page.facts["Training tokens"] == "1,864"
    assert page.facts["Validation tokens"] == "44"
    assert page.facts["Vocabulary"] == "512"
    assert page.facts["Bytes per token"] == "4.023"  # 4 * 1908 bytes / (1908 - 11) tokens that stand for text
    by_source, reasons, *_, counts, sources, speed = page.tables
    assert by_source[1:] == [
        ["books", "4", "4", "4", "3", "3", "3", "3"],
        ["web", "40", "13", "12", "9", "9", "8", "8"],
        ["all", "44", "17", "16", "12", "12", "11", "11"],
    ]
    assert reasons[1:] == [
        ["too_short", "20", "45.45%", "–", "clean", "removed", ""],
        ["gopher_too_few_words", "5", "11.36%", "–", "clean", "removed", REASONS["gopher_too_few_words"]],
        ["no_json", "2", "4.55%", "–", "clean", "unreadable", ""],
        ["exact_duplicate", "1", "2.27%", "–", "exact duplicates", "removed", REASONS["exact_duplicate"]],
        ["near_duplicate", "4", "9.09%", "–", "near duplicates", "removed", REASONS["near_duplicate"]],
        ["contaminated", "1", "2.27%", "–", "decontaminate", "removed", REASONS["contaminated"]],
    ]
    links = [attributes["href"] for attributes in page.of("a") if not attributes["href"].startswith("#s")]
    shown = ["clean-too_short", "clean-gopher_too_few_words", "unreadable", "near-near_duplicate"]
    assert {f"#{each}" for each in shown} | {"#decontaminate-contaminated"} == set(links)
    assert counts[1:] == [
        ["clean", "line ends rewritten", "5", MEANINGS["line_ends_rewritten"]],
        ["near duplicates", "clusters", "7", MEANINGS["clusters"]],
        ["near duplicates", "pairs verified", "1,234", MEANINGS["pairs_verified"]],
        ["near duplicates", "pairs below threshold", "600", MEANINGS["pairs_below_threshold"]],  # "of these"
        ["near duplicates", "a users own", "1", ""],
    ]
    assert ["web", "training", "75.00%", "3.99", "6", "800", "3,200", "1"] in sources
    assert ["books", "training", "25.00%", "1.00", "2", "1,064", "4,256", "1"] in sources
    assert ["books", "validation", "", "", "1", "33", "132", "1"] in sources
    assert [row[0] for row in speed[1:]] == list(TITLES.values())


def test_a_source_with_a_budget_has_no_share_of_the_rest(output_dir: Path, parse_page: Callable[[Path], Any]) -> None:
    path = output_dir / "manifest.json"
    record = json.loads(path.read_text())
    record["splits"]["train"]["books"]["budget"] = {"tokens": 2660}
    del record["hash"]
    path.write_text(json.dumps(record))
    rows = [row for table in parse_page(write_report(output_dir, TITLES, {})).tables for row in table]
    assert ["books", "training", "a budget", "2.50", "2", "1,064", "4,256", "1"] in rows
    assert ["web", "training", "100.00%", "1.00", "6", "800", "3,200", "1"] in rows


def test_the_way_of_the_documents_is_drawn_to_scale(output_dir: Path, parse_page: Callable[[Path], Any]) -> None:
    page = parse_page(write_report(output_dir, TITLES, {}))
    widths = [float(tag["style"].removeprefix("width:").removesuffix("%")) for tag in page.of("i") if "style" in tag]
    kept, lost = [17, 16, 12, 12, 11, 11], [27, 1, 4, None, 1, None]  # of 44
    expected = [100 * n / 44 for pair in zip(kept, lost, strict=True) for n in pair if n is not None]
    np.testing.assert_allclose(widths[: len(expected)], expected, atol=1e-3)
    notes = [text for text in page.texts if "(−" in text]
    assert notes == ["17  (−27)", "16  (−1)", "12  (−4)", "11  (−1)"]


def test_a_stage_that_is_off_is_no_step_of_the_way(output_dir: Path, parse_page: Callable[[Path], Any]) -> None:
    titles = {stage: title for stage, title in TITLES.items() if stage != "exact"}
    page = parse_page(write_report(output_dir, titles, {}))
    assert [text for text in page.texts if "(−" in text] == ["17  (−27)", "12  (−4)", "11  (−1)"]


def test_the_evidence_is_shown_and_stays_text(output_dir: Path, parse_page: Callable[[Path], Any]) -> None:
    page = parse_page(write_report(output_dir, TITLES, {}))
    assert page.text.count("</pre><script>alert(1)</script>␛[31m␀ tail") == 5 + 2 + 1  # removed, unreadable, a cluster
    assert "similarity 0.812, source web" in page.texts
    assert "test item quiz#17, coverage 0.75, limit 0.5" in page.texts
    assert "value 0, limit 20" in page.texts
    assert page.texts.count("brown") == page.texts.count("red") == 1  # what differs, marked on both sides
    assert "a.jsonl, record 8, byte 8,000" in page.texts
    assert "\x1b" not in (output_dir / "report.html").read_text()


def test_what_near_duplicates_were_found_and_what_these_settings_find(
    output_dir: Path, parse_page: Callable[[Path], Any]
) -> None:
    path = write_report(output_dir, TITLES, {})
    page = parse_page(path)
    rows = [row for table in page.tables for row in table]
    assert ["0.5", "9", "55%"] in rows  # documents that would go
    assert ["0.75", "6", "99.9%"] in rows
    assert ["0.8, as set", "4", "99.995%"] in rows
    assert ["17", "9", "3", "2", "hub-1", "</pre><script>alert(1)</script>␛[31m␀ tail"] in rows
    assert not any("hub-2" in row for row in rows)  # a pair is no cluster
    assert ["0.85", "20", "19", "20", "18", "90.0%"] in rows
    assert ["0.5", "30", "24", "0", "0", ""] in rows
    assert ["cut short", "50", "43", "20", "18", "90.0%"] in rows
    assert "of 20 at the threshold or above 18 were found (90.0%)" in page.text
    assert "of 19 documents removed 18 were similar enough to the kept one (94.7%)" in page.text
    (dots,) = re.findall(r'class="dots c1" d="([^"]*)"', path.read_text())
    places = [float(x) for x in re.findall(r"M([\d.]+) ", dots)]
    assert places == [0.0, 700.0]  # 0.5 and 0.85 of an axis from 0.5 to 1
    (output_dir / "deduplication/summary.json").unlink()
    assert "Removed: near duplicates" not in parse_page(write_report(output_dir, TITLES, {})).texts


def test_where_nothing_is_alike_the_page_says_so(output_dir: Path, parse_page: Callable[[Path], Any]) -> None:
    nothing = {"threshold": None, "edges": [0.0, 1.0], "removed": [0], "stayed": [0]}
    summary = {"self_test": None, "similarity": nothing, "clusters": [], "pairs": []}
    (output_dir / "deduplication/summary.json").write_text(json.dumps(summary))
    page = parse_page(write_report(output_dir, TITLES, {}))
    assert "None was removed." in page.texts
    assert "The largest clusters" not in page.texts


def test_the_test_item_stands_beside_the_document_that_held_it(
    output_dir: Path, parse_page: Callable[[Path], Any]
) -> None:
    page = parse_page(write_report(output_dir, TITLES, {}))
    assert "test item: quiz#17" in page.texts
    assert "Who is <Ada>?" in page.text.replace("\n", "")


def test_the_test_sets_are_listed_with_what_planted_copies_say(
    output_dir: Path, parse_page: Callable[[Path], Any]
) -> None:
    page = parse_page(write_report(output_dir, TITLES, {}))
    rows = [row for table in page.tables for row in table]
    assert ["quiz", "1,313", "1", "2", "1,310"] in rows
    assert ["truncated", "100", "87", "87.0%"] in rows
    (output_dir / "decontamination/summary.json").unlink()
    assert "Test sets" not in parse_page(write_report(output_dir, TITLES, {})).texts


def test_what_a_stage_says_of_its_settings_is_shown(output_dir: Path, parse_page: Callable[[Path], Any]) -> None:
    page = parse_page(write_report(output_dir, TITLES, {"near": "  0.8  99.9% <- threshold"}))
    assert "  0.8  99.9% <- threshold" in page.text


def test_the_page_says_what_made_it_and_when(output_dir: Path, parse_page: Callable[[Path], Any]) -> None:
    (output_dir / "config.yaml").write_text("dedup:\n  threshold: 0.7\n")
    page = parse_page(write_report(output_dir, TITLES, {}))
    assert "dedup:\n  threshold: 0.7\n" in page.text
    assert f"python -m data_pipeline --config-path {output_dir} --config-name config" in page.text
    assert str(Path.cwd()) in page.text and "extra_targets" not in page.text
    (output_dir / "config.yaml").write_text("clean:\n  rules:\n    mine:\n      _target_: my_rules.Lorem\n")
    own = parse_page(write_report(output_dir, TITLES, {}))
    assert f"--config-path {output_dir} --config-name config 'extra_targets=[my_rules.]'" in own.text
    (written,) = re.findall(r"Written (\d{4}-\d\d-\d\d \d\d:\d\d) UTC", page.text)
    age = datetime.now(UTC) - datetime.strptime(written, "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
    assert timedelta(0) <= age < timedelta(minutes=2)


def test_every_number_of_the_pipelines_own_stages_has_a_meaning(finished: Path) -> None:
    counted = {name for stage in read_json(finished / "ledger.json")["counts"].values() for name in stage}
    cleaned = Unicode().apply(from_texts(["a\r\nb", "e\u0301", "a\x00b"])).changed
    assert len(cleaned) == 3 and len(counted) > 5
    by_settings = {"repeated_lines", "lines_cut", "documents_without_keep_field", "copies_unchanged"}
    by_input = {"files_cut_short", "files_without_a_record", "documents_with_repeated_id"}
    assert counted | set(cleaned) | by_settings | by_input == set(MEANINGS)


def test_copies_are_counted_apart_and_shown_beside_their_documents(
    output_dir: Path, parse_page: Callable[[Path], Any]
) -> None:
    books = read_books(output_dir)
    shards = books.pop("shards")
    added = {source: Counter(noise=2, swaps=1) if source == "web" else Counter() for source in shards}
    books["augment"] = {
        source: Account(num_in=each.num_in, num_out=each.num_out + added[source].total(), created=added[source])
        for source, each in shards.items()
    }
    books["shards"] = {
        source: Account(num_in=each.num_out, num_out=each.num_out) for source, each in books["augment"].items()
    }
    (output_dir / "ledger.json").write_bytes(ledger_json(books, {}))
    titles = {"shards": TITLES["shards"], "augment": "augmentation"}
    titles = {stage: (TITLES | titles)[stage] for stage in [*books, "tokenizer"]}
    examples = {"augment": [Example("noise", 3, "the old\ntext", "the odl\ntext")], "clean": []}
    page = parse_page(write_report(output_dir, titles, {}, examples=examples))
    assert (page.facts["Documents kept"], page.facts["Copies added"]) == ("11", "3")
    assert "44 documents read, 11 kept and 3 changed copies added, as 1,908 tokens." in page.text
    (table,) = [table for table in page.tables if table[0] == ["stage", "change", "copies", "to documents"]]
    assert table[1:] == [["augmentation", "noise", "2", "11"], ["augmentation", "swaps", "1", "11"]]
    assert "14  (+3)" in page.text and "Changed copies" in page.text and "Changed texts" not in page.text
    assert "odl" in page.text


def test_stages_come_in_their_order(output_dir: Path) -> None:
    assert list(read_books(output_dir)) == ["clean", "exact", "near", "split", "decontaminate", "shards"]


def test_a_stage_that_looks_at_no_text_has_no_rate(output_dir: Path, parse_page: Callable[[Path], Any]) -> None:
    page = parse_page(write_report(output_dir, TITLES, {}))
    notes = list(itertools.pairwise(page.texts))
    assert ("held-out split", "2.0 s") in notes
    assert ("near duplicates", "2.0 s, 2.5 MB/s") in notes


def test_a_page_needs_neither_timing_nor_evidence(output_dir: Path, parse_page: Callable[[Path], Any]) -> None:
    (output_dir / "timing.json").unlink()
    for path in [*output_dir.rglob("*.parquet"), *output_dir.rglob("quarantine/**/*.jsonl")]:
        path.unlink()
    page = parse_page(write_report(output_dir, TITLES, {}))
    assert page.facts["Time"] == "–"
    assert "Unreadable records" not in page.texts


def test_shards_that_are_not_the_manifests_are_an_error(output_dir: Path) -> None:
    (output_dir / "shards/train/web_00000.idx").unlink()
    with pytest.raises(ShardError, match="web_00000"):
        write_report(output_dir, TITLES, {})


@given(st.lists(st.integers(1, 1 << 40), min_size=1))
def test_every_length_falls_into_its_bin(lengths: list[int]) -> None:
    edges, counts = length_bins(np.array(lengths))
    assert all(high == 2 * low for low, high in itertools.pairwise(edges))
    bins = itertools.pairwise(edges)
    assert counts == [sum(low <= length < high for length in lengths) for low, high in bins]
    assert sum(counts) == len(lengths)
    assert counts[0] and counts[-1]


@pytest.mark.slow
def test_a_browser_shows_the_page(output_dir: Path, render: Callable[[Path, int, int], Any]) -> None:
    shown = render(write_report(output_dir, TITLES, {}), 1100, 2500)
    assert shown.dom.count("<svg") == 4
    assert "<script" not in shown.dom
    assert len(shown.png) > 50_000
