"""What the filter measured: the same for any parts and workers, and what a moved limit promises is what it takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from data_pipeline.clean.rules import Applied, Choice, Group, Limit, Rule
from data_pipeline.limits import RuleTakesTooMuch
from data_pipeline.losses import NothingLeft
from data_pipeline.pipeline import Result
from tests.browser import drive, find_browser

Config = Callable[..., dict[str, Any]]
Go = Callable[..., Result]
HOSTILE = "</p><img src=x onerror=alert(1)><script>document.title='run'</script>"
NAMES = ("even", "odd")


class Kinds(Rule):
    """Labels documents as even and odd by their row; each kind has a limit of its own."""

    def __init__(self, wanted: list[str] | None = None, least: float = 0.0) -> None:
        chosen = None if wanted is None else frozenset(NAMES.index(name) for name in wanted)
        self.choices = (Choice("kind", NAMES, chosen, "kind_not_wanted", "place", "wanted"),)
        self.limits = tuple(
            Limit("place", least, below="early", least_key="least", where=Group("kind", label, name))
            for label, name in enumerate(NAMES)
        )

    def apply(self, batch: pa.RecordBatch) -> Applied:
        rows = batch.column("row").to_numpy()
        return Applied(batch, {"kind": (rows % 2).astype(float), "place": rows.astype(float)})


def clean_of(min_words: int, **kinds: Any) -> dict[str, Any]:
    rules = {
        "length": {"_target_": "data_pipeline.clean.length.Length", "min_words": min_words},
        "kinds": {"_target_": f"{__name__}.Kinds", **kinds},
    }
    return {"_target_": "data_pipeline.clean.rules.Rules", "rules": rules, "max_loss_frac": 1.0}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sources of 120 and 40 documents of 1 to 40 words, ids and texts of some of them hostile."""
    folder = tmp_path_factory.mktemp("small")
    for source, count in (("web", 120), ("books", 40)):
        (folder / source).mkdir()
        lines = [
            {"id": f"{source}-{row}{HOSTILE if row % 7 == 0 else ''}", "text": " ".join([f"w{row}x"] * words)}
            for row in range(count)
            for words in [row * 7 % 40 + 1]
        ]
        text = "\n".join(json.dumps(line | {"text": f"{line['text']} {HOSTILE}"}) for line in lines)
        (folder / source / "a.jsonl").write_text(text)
    return folder


@pytest.fixture(scope="module")
def filtered(small: Path, config: Config, go: Go) -> Callable[..., Result]:
    """Run the pipeline on it, with little after the filter."""

    def filtered(out: Path, clean: dict[str, Any], **changes: Any) -> Result:
        changes |= {"mix__held_out_frac": 0.2, "tokenizer__vocab_size": 262, "clean": clean}
        changes["dedup"] = {"_target_": "data_pipeline.dedup.dedup.NoDedup"}
        changes["decontaminate"] = {"_target_": "data_pipeline.decontaminate.decontaminator.NoDecontaminate"}
        return go(config(small, out, **changes), __name__.partition(".")[0] + ".")

    return filtered


def measured(result: Result) -> dict[str, Any]:
    return result.stages[1].facts["measured"]  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def once(filtered: Callable[..., Result], tmp_path_factory: pytest.TempPathFactory) -> Result:
    return filtered(tmp_path_factory.mktemp("once") / "out", clean_of(12, wanted=["even"]), partition_bytes=3000)


def test_neither_workers_nor_partitions_change_what_was_measured(
    once: Result, filtered: Callable[..., Result], tmp_path: Path
) -> None:
    clean = clean_of(12, wanted=["even"])
    again = filtered(tmp_path / "out", clean, partition_bytes=100_000, executor__workers=2)
    assert measured(again) == measured(once)
    assert len(list((once.output_dir / "work" / "filter").glob("*-*.npz"))) > 4


def test_histograms_are_of_all_documents_by_source(once: Result) -> None:
    limits = {(each["score"], each["group"]): each for each in measured(once)["limits"]}
    words = limits["words", None]
    assert (words["threshold"], words["key"], words["end"]) == (12.0, "rules.length.min_words", "least")
    assert {source: sum(row[1] for row in rows) for source, rows in words["histogram"].items()} == {
        "web": 120,
        "books": 40,
    }
    number = dict.fromkeys(("web", "books"), 0)
    for source, count in (("web", 120), ("books", 40)):
        number[source] = sum(row * 7 % 40 + 1 + len(HOSTILE.split()) < 12 for row in range(count))
    assert {source: taken[0] for source, taken in words["taken"].items()} == number
    assert limits["place", "even"]["key"] == "rules.kinds.least"
    assert sum(row[1] for row in limits["place", "odd"]["histogram"]["web"]) == 60


def test_labels_have_their_documents_and_what_goes_of_them(once: Result) -> None:
    (choice,) = measured(once)["choices"]
    assert (choice["wanted"], choice["key"], choice["reason"]) == (["even"], "rules.kinds.wanted", "kind_not_wanted")
    odd = choice["labels"]["web"]["odd"]
    assert odd[0] == odd[2] == 60 and odd[1] == odd[3] > 0
    assert once.stages[1].book["web"].dropped["kind_not_wanted"] <= 60


def test_samples_lie_on_both_sides_and_hold_the_beginning_of_the_text(once: Result) -> None:
    (words,) = [each for each in measured(once)["limits"] if each["score"] == "words"]
    near = [each for each in words["samples"] if each["kind"] == "nearest"]
    by_lot = [each for each in words["samples"] if each["kind"] == "by lot"]
    assert [len(near), len(by_lot)] == [10, 10]
    for each in (near, by_lot):
        values = [sample["value"] for sample in each]
        assert values == sorted(values) and values[4] < 12.0 <= values[5]
    assert len({(each["source"], each["row"]) for each in words["samples"]}) == 20
    for each in words["samples"]:
        assert each["file"] == "a.jsonl" and each["id"].startswith(f"{each['source']}-{each['row']}")
        assert each["snippet"].startswith(f"w{each['row']}x ")
        assert each["alone"] == (each["row"] % 2 == 0)


def test_what_a_slider_promises_is_what_another_limit_takes(
    once: Result, filtered: Callable[..., Result], tmp_path: Path
) -> None:
    (words,) = [each for each in measured(once)["limits"] if each["score"] == "words"]
    edges = sorted({row[0] for rows in words["histogram"].values() for row in rows})
    edge = edges[len(edges) * 2 // 3]
    promised = {
        source: [sum(row[column] for row in rows if row[0] < edge) for column in (1, 2)]
        for source, rows in words["histogram"].items()
    }
    result = filtered(tmp_path / "out", clean_of(int(edge)))
    assert {source: account.dropped["too_few_words"] for source, account in result.stages[1].book.items()} == {
        source: documents for source, (documents, _) in promised.items()
    }
    removed = result.stages[1].facts["bytes_removed"]
    assert {source: removed[source]["too_few_words"] for source in removed} == {
        source: utf8_bytes for source, (_, utf8_bytes) in promised.items()
    }


def test_a_browser_moves_the_limits_of_a_finished_run(once: Result, tmp_path: Path) -> None:
    browser = find_browser()
    if browser is None:
        pytest.skip("needs chromium to open the page (Debian: apt-get install chromium)")
    move = """(() => {
        const box = document.getElementById("words-least"), slider = box.querySelector("input");
        slider.value = slider.max;
        slider.dispatchEvent(new Event("input"));
        return [box.querySelector(".typed code").textContent, box.querySelectorAll("li.changed").length];
    })()"""
    choose = """(() => {
        const choice = document.querySelector(".explorers select");
        choice.value = "books";
        choice.dispatchEvent(new Event("change"));
        return document.querySelector("#words-least output").textContent;
    })()"""
    asked = [
        move,
        choose,
        "document.images.length",
        "performance.getEntriesByType('resource').length",
        "document.title",
    ]
    (moved, chosen, images, loaded, title), errors = drive(browser, tmp_path / "home", once.report, asked)
    assert errors == []
    assert moved[0].startswith("clean.rules.length.min_words=4") and moved[1] >= 10
    assert chosen.partition(" documents")[0].endswith("of 40")
    assert (images, loaded, title) == (0, 0, "out")


def test_the_page_of_a_stopped_run_has_the_same_limits_and_samples(
    filtered: Callable[..., Result], tmp_path: Path, parse_page: Callable[[Path], Any]
) -> None:
    with pytest.raises(RuleTakesTooMuch, match=r"report\.html"):
        filtered(tmp_path / "out", clean_of(40) | {"max_loss_frac": 0.5})
    parsed = parse_page(tmp_path / "out" / "report.html")
    limits = [attributes["id"] for attributes in parsed.of("div") if attributes.get("class") == "explorer"]
    assert limits[0] == "words-least" and "place-least-even" in limits
    assert sum(attributes.get("class") in ("goes", "stays", "passes") for attributes in parsed.of("li")) >= 20
    reasons = [row for table in parsed.tables for row in table if row[0] == "too_few_words"]
    assert len(reasons) == 1 and reasons[0][3].endswith("kB")


def test_a_run_that_nothing_is_left_of_shows_what_was_measured(filtered: Callable[..., Result], tmp_path: Path) -> None:
    with pytest.raises(NothingLeft):
        filtered(tmp_path / "out", clean_of(1000))
    assert 'id="words-least"' in (tmp_path / "out" / "report.html").read_text()
