"""What the forecast's tables are on a narrow terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from data_pipeline.preflight.costs import Costs
from data_pipeline.preflight.estimate import Estimate
from data_pipeline.preflight.forecast import Forecast, StageForecast
from data_pipeline.preflight.show import _removals, _stages, reasons

REASONS = ("gopher_duplicate_5_grams", "gopher_duplicate_paragraph_chars", "fineweb_duplicate_line_chars", "short")


def stage(name: str, removed: dict[str, Estimate]) -> StageForecast:
    return StageForecast(name, Estimate(123_456.0, 120_000.0, 130_000.0), removed, Costs(*[123_456.0] * 7))


@pytest.mark.parametrize("columns", [80, 100, 200])
def test_no_line_is_wider_than_the_terminal_and_no_reason_is_broken(columns: int) -> None:
    removed = {reason: Estimate(54_321.0, 50_000.0, 60_000.0) for reason in REASONS}
    made = Forecast([stage("decontaminate", removed), stage("near", {})], Estimate(1e6, 1e6, 1e6), {})
    out = io.StringIO()
    console = Console(file=out, width=columns)
    console.print(_stages(made))
    console.print(_removals(made))
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    assert max(map(len, lines)) <= columns
    words = " ".join(lines).split()
    assert [reason for reason in REASONS if reason not in words] == []


def test_duplicates_are_exact_where_nothing_can_be_hidden() -> None:
    shown = {"exact_duplicate": Estimate(82.0, 82.0, 82.0), "other": Estimate(3.0, 3.0, 9.0)}
    assert reasons(stage("exact", shown)) == "exact_duplicate 82, other 3 or more, at most 9"
