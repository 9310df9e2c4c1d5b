"""The plan and the truth in tables: what is not known shows as such, a grouped source has a row for all of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_pipeline.mix.mix import Mix
from data_pipeline.mix.mixture import Mixture
from data_pipeline.mix.plan import PlanError
from data_pipeline.report.mixture import Mixed, mixed_table, print_plan
from data_pipeline.sources.jsonl import Jsonl
from data_pipeline.sources.source import InputFile


def mixture(mix: Mix, **sizes: int) -> Mixture:
    """Of sources of one file each, of so many bytes."""
    sources = [Jsonl(["x"], source=name) for name in sizes]
    files = {name: [InputFile(f"{name}.jsonl", None, size)] for name, size in sizes.items()}
    return Mixture(mix, sources, files, is_alone=False)


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [" ".join(line.split()) for line in capsys.readouterr().err.splitlines()]


def test_sizes_that_are_not_known_are_not_made_up(capsys: pytest.CaptureFixture[str]) -> None:
    print_plan(mixture(Mix(), web=40_000, stream=0))
    lines = said(capsys)
    assert lines[0].startswith("plan, for a run of unknown length (mix.tokens= sets it)")
    assert lines[2:] == ["web 1 40.0 kB 38.8 kB 9.7 k weight 1 50.00% ? ?", "stream 1 ? ? ? weight 1 50.00% ? ?"]


def test_what_is_kept_has_a_column_where_something_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    print_plan(mixture(Mix(keep={"web": {"bytes": 2e4}}, tokens=10_000), web=40_000, books=40_000))
    lines = said(capsys)
    assert lines[1] == "source files input ~text ~tokens keeps reads share takes epochs"
    assert lines[2] == "web 1 40.0 kB 20.0 kB 5.0 k 20.0 kB weight 1 50.00% 5.0 k 1.00"
    assert " 9.7 k all weight 1 50.00% 5.0 k 0.52" in lines[3]


def test_a_temperature_over_sources_is_in_the_plan_and_in_the_truth(capsys: pytest.CaptureFixture[str]) -> None:
    made = mixture(Mix(temperature=0.5, tokens=900), en=16_000, de=4000)
    print_plan(made)
    lines = said(capsys)
    assert lines[2:4] == [
        "en 1 16.0 kB 15.5 kB 3.9 k weight 1.333 66.67% 600 0.15",
        "de 1 4.0 kB 3.9 kB 970 weight 0.6667 33.33% 300 0.31",
    ]
    mixed = Mixed.of(made, {"de": "de", "en": "en"}, {"de": {"tokens": 100}, "en": {"tokens": 6400}})
    assert mixed.rows() == [
        ["de", "970", "100", "weight 0.2222", "11.11%", "100", "1.00"],
        ["en", "3.9 k", "6,400", "weight 1.778", "88.89%", "800", "0.12"],
    ]
    print_plan(mixture(Mix(temperature=0.5, tokens=900), en=16_000, de=0))
    assert said(capsys)[2].endswith(" 3.9 k weight ? ? ? ?")


def test_an_empty_file_is_not_one_of_unknown_size(tmp_path: Path) -> None:
    files = [InputFile("a.jsonl", tmp_path / "a.jsonl", 4000), InputFile("b.jsonl", tmp_path / "b.jsonl", 0)]
    made = Mixture(Mix(), [Jsonl(["x"], source="web")], {"web": files}, is_alone=True)
    assert made.estimates["web"].tokens == 970


def test_weights_of_nothing_that_is_left_are_refused() -> None:
    made = mixture(Mix(group_by="language", group_weights={"en": 1.0, "other": 0.0}), web=4000)
    with pytest.raises(PlanError, match=r"^mix\.group_weights: all that is left .*: web\.other$"):
        made.truth({"web.en": 0, "web.other": 7}, {"web.en": "web", "web.other": "web"})


def test_a_grouped_source_has_a_row_for_all_of_it() -> None:
    made = mixture(Mix(group_by="language", temperature=0.0, tokens=800), web=4000, books=400)
    sources = {"books": "books", "web.de": "web", "web.en": "web"}
    mixed = Mixed.of(made, sources, {"books": {"tokens": 100}, "web.de": {"tokens": 100}, "web.en": {"tokens": 900}})
    assert mixed.rows() == [
        ["books", "97", "100", "weight 1", "50.00%", "400", "4.00"],
        ["web (all)", "970", "1,000", "", "50.00%", "400", "0.40"],
        ["web.de", "", "100", "weight 0.5", "25.00%", "200", "2.00"],
        ["web.en", "", "900", "weight 0.5", "25.00%", "200", "0.22"],
    ]
    assert mixed_table(mixed)[0] == "mixture, for a run of 800 tokens"


def test_one_source_that_is_read_once_has_no_table() -> None:
    made = mixture(Mix(), web=4000)
    assert mixed_table(Mixed.of(made, {"web": "web"}, {"web": {"tokens": 1000}})) == []
