"""Where a run stops: unreadable records, what one rule takes, duplicates."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.ledger import Account
from data_pipeline.limits import (
    MIN_LOST,
    BadLimit,
    DuplicateLimit,
    RuleLimit,
    RuleTakesTooMuch,
    TooManyDuplicates,
    TooManyUnreadable,
    frequent,
)
from data_pipeline.losses import NothingLeft, check_left
from data_pipeline.storage import write_removed
from tests.data_pipeline.accounts import account


@pytest.mark.parametrize(
    ("bad", "min_records", "stops"),
    [(10, 10, False), (11, 10, True), (11, 11, True), (11, 12, False), (0, 0, False)],
)
def test_a_share_above_the_limit_stops_the_run(bad: int, min_records: int, stops: bool) -> None:
    book = {
        "web": Account(num_in=700, quarantined=Counter(json=bad)),
        "books": Account(num_in=300),  # the share is that of all records
    }
    limit = BadLimit(max_frac=0.01, min_records=min_records)
    if not stops:
        limit.check(book, Path("quarantine"))
        return
    with pytest.raises(
        TooManyUnreadable, match=r"11 of 1,000 records \(1.10%\) are unreadable, more than 1.00% \(json 11\)"
    ):
        limit.check(book, Path("quarantine"))


def evidence(removed: Path, stage: str, source: str, kept: list[str]) -> None:
    """Write what a stage removed: a row for each, with the id of the one that was kept."""
    fields = {"source": source, "file": "f", "stage": stage, "reason": "x", "snippet": ""}
    rows = [
        fields
        | {"id": str(i), "row": i, "kept_id": k, "kept_file": "f", "kept_row": ord(k), "kept_snippet": f"text of {k}"}
        for i, k in enumerate(kept)
    ]
    for number in (0, 1):
        write_removed(removed / stage / f"{source}-{number}.parquet", rows[number::2])


def test_a_source_that_loses_too_much_to_both_stages_together_shows_the_text_that_took_it(tmp_path: Path) -> None:
    evidence(tmp_path, "exact", "books", ["a"] * 60 + ["b"] * 40)
    evidence(tmp_path, "near", "books", ["b"] * 70 + ["c"] * 20)
    evidence(tmp_path, "near", "web", ["d"] * 500)
    exact = {"books": account(200, {"exact_duplicate": 100}), "web": account(1000)}
    near = {"books": account(100, {"near_duplicate": 90}), "web": account(1000, {"near_duplicate": 500})}
    books = [("exact", exact), ("near", near)]
    DuplicateLimit(0.95).check(books, tmp_path)
    DuplicateLimit(0.949).check(books[:1], tmp_path)
    with pytest.raises(TooManyDuplicates) as error:
        DuplicateLimit(0.949).check(books, tmp_path)
    message = str(error.value)
    assert message.startswith(
        "dedup.max_loss_frac: 190 of the 200 documents of source 'books' (95.0%) are duplicates (exact: 100, near: 90)"
        ", more than 94.9%; 110 of them went for one, b (f, record 98 from 0), that begins 'text of b'."
    )
    assert str(tmp_path / "exact") in message and str(tmp_path / "near") in message


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)), min_size=1), st.integers(1, 8))
def test_the_most_frequent_of_many_is_told_in_little_memory(counts: list[tuple[int, int]], most: int) -> None:
    """Whatever makes up more than one of `most` parts survives; so one that makes up half is always found."""
    times: Counter[int] = Counter()
    for item, count in counts:
        times[item] += count
    assert times[frequent(counts, len(times) + 1)] == max(times.values())  # nothing is cleared
    item = times.most_common(1)[0][0]
    assert frequent([*counts, (item, times.total() + 1)], most + 1) == item


@pytest.mark.parametrize("number", [7, 8, 9, 16])
def test_of_many_that_are_equally_frequent_one_is_told(number: int) -> None:
    assert frequent([(item, 1) for item in range(number)], most=4) in range(number)


def test_a_small_loss_of_duplicates_never_stops_a_run(tmp_path: Path) -> None:
    evidence(tmp_path, "exact", "web", ["a"] * MIN_LOST)
    book = {"web": account(MIN_LOST, {"exact_duplicate": MIN_LOST - 1})}
    DuplicateLimit(0.0).check([("exact", book)], tmp_path)
    with pytest.raises(TooManyDuplicates):
        DuplicateLimit(0.0).check([("exact", {"web": account(9999, {"exact_duplicate": MIN_LOST})})], tmp_path)
    DuplicateLimit(1.0).check([("exact", {"web": account(MIN_LOST, {"exact_duplicate": MIN_LOST})})], tmp_path)


def verdicts_of(removed: Path, reasons: dict[str, int], value: float | None = 3.0, limit: float | None = 5.0) -> None:
    """Write the evidence of a filter that took so many documents of `web`, in two files."""
    fields = {"source": "web", "file": "f", "stage": "filter", "value": value, "threshold": limit}
    named = [reason for reason, count in reasons.items() for _ in range(count)]
    rows = [
        fields | {"id": f"{reason}-{row}", "row": row, "reason": reason, "snippet": f"text {row}"}
        for row, reason in enumerate(named)
    ]
    for number in (0, 1):
        write_removed(removed / f"web-{number}.parquet", rows[number::2])


@pytest.mark.parametrize(
    ("value", "limit", "told"),
    [
        (3.0, 5.0, "kind 3, limit 5"),
        (0.98, None, "kind 0.98"),
        (None, None, "kind"),
        (math.nan, None, "kind"),
        (None, 5.0, "kind, limit 5"),
    ],
)
def test_a_rule_that_tells_no_value_or_has_no_limit_stops_the_run_in_words(
    tmp_path: Path, value: float | None, limit: float | None, told: str
) -> None:
    verdicts_of(tmp_path / "removed" / "filter", {"kind": 150}, value, limit)
    book = {"web": account(200, {"kind": 150})}
    with pytest.raises(RuleTakesTooMuch, match=rf"for example kind-0 \({told}\): 'text 0'; kind-2 "):
        RuleLimit(0.5).check(book, tmp_path / "removed" / "filter")
    with pytest.raises(NothingLeft) as nothing:
        files = sorted((tmp_path / "removed" / "filter").iterdir())
        check_left([("filter", {"web": account(150, {"kind": 150})})], {}, lambda source: "", {"filter": "-"}, files)
    assert (f"; e.g. kind-0: {told})" in str(nothing.value)) == (value is not None)


GOPHER = dict.fromkeys(("bullets", "few_words", "symbols", "stop_words"), "rules.gopher")


def test_the_reasons_of_one_rule_count_together(tmp_path: Path) -> None:
    took = {"bullets": 90, "few_words": 100, "symbols": 80, "stop_words": 1, "short": 9}
    verdicts_of(tmp_path, took)
    book = {"books": account(5), "web": account(300, took)}
    RuleLimit(271 / 300, GOPHER).check(book, tmp_path)
    RuleLimit(0.5).check(book, tmp_path)  # each by itself is less
    with pytest.raises(RuleTakesTooMuch) as error:
        RuleLimit(0.9, GOPHER).check(book, tmp_path)
    assert str(error.value).startswith(
        "clean.max_loss_frac: clean.rules.gopher takes 271 of the 300 documents of source 'web' (90.3%: few_words 100, "
        "bullets 90, symbols 80, stop_words 1), more than 90.0%; for example few_words-90 (few_words 3, limit 5): "
        "'text 90'; bullets-0 (bullets 3, limit 5): 'text 0'; symbols-190 "
    )


def test_two_reasons_share_the_samples_and_another_rule_is_judged_by_itself(tmp_path: Path) -> None:
    verdicts_of(tmp_path, {"bullets": 90, "few_words": 80, "short": 100})
    book = {"web": account(300, {"bullets": 90, "few_words": 80, "short": 100})}
    with pytest.raises(RuleTakesTooMuch, match=r"example bullets-0 \(.*; bullets-2 \(.*; few_words-90 \(.*"):
        RuleLimit(0.5, GOPHER).check(book, tmp_path)
    with pytest.raises(RuleTakesTooMuch, match=r"^clean\.max_loss_frac: short takes 100 of the 300 .* \(33\.3%\)"):
        RuleLimit(0.31, GOPHER | {"few_words": "rules.other"}).check(book, tmp_path)
