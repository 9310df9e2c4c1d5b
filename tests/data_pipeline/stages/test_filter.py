"""The filter: limits decide by what is stored, and every document that goes is kept with rule, value and threshold."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_pipeline.clean.rules import Applied, Choice, Failed, Limit, Rule
from data_pipeline.limits import RuleTakesTooMuch
from data_pipeline.losses import NothingLeft
from data_pipeline.pipeline import Result, check_config, run
from data_pipeline.storage import read_arrays
from foundation.config import DEFAULT_TARGETS

Config = Callable[..., dict[str, Any]]
Go = Callable[[dict[str, Any]], Result]
Redone = Callable[[Result], list[str]]
Hashes = Callable[[Path], dict[str, str]]
LENGTH = "data_pipeline.clean.length.Length"


def rules(min_words: int, **others: Any) -> dict[str, Any]:
    length = {"length": {"_target_": LENGTH, "min_words": min_words}}
    return {"_target_": "data_pipeline.clean.rules.Rules", "rules": length | others}


def times(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (out / "work" / "clean").iterdir()}


def test_another_limit_reads_nothing_again_and_ends_in_the_bytes_of_a_fresh_run(
    made: Any, config: Config, go: Go, redone: Redone, output_hashes: Hashes, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    go(config(made.folder, out, clean=rules(20)))
    before = times(out)
    again = redone(go(config(made.folder, out, clean=rules(100))))
    assert again[:2] == ["filter", "exact"] and "clean" not in again
    assert times(out) == before
    go(config(made.folder, tmp_path / "fresh", clean=rules(100), executor__workers=2))
    assert output_hashes(out) == output_hashes(tmp_path / "fresh")
    assert (out / "removed" / "filter").is_dir()


def test_a_limit_that_decides_the_same_leaves_all_that_comes_after(
    made: Any, config: Config, go: Go, redone: Redone, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    go(config(made.folder, out, clean=rules(2)))
    assert redone(go(config(made.folder, out, clean=rules(3)))) == ["filter"]


def test_a_document_that_goes_is_kept_whole_with_reason_value_and_threshold(
    config: Config, go: Go, tmp_path: Path
) -> None:
    texts = [f"document {row} " + " ".join(f"word{row}x{i}" for i in range(99 if row % 4 else 2)) for row in range(40)]
    lines = [json.dumps({"text": text, "id": f"d{row}"}) for row, text in enumerate(texts)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    corpus = {"_target_": "data_pipeline.sources.jsonl.Jsonl", "paths": [str(tmp_path / "a.jsonl")], "source": "web"}
    changes = {"mix__held_out_frac": 0.2, "tokenizer__vocab_size": 262, "decontaminate__test_sets": []}
    changes["dedup"] = {"_target_": "data_pipeline.dedup.dedup.NoDedup"}
    result = go(config(tmp_path, tmp_path / "out", corpus=corpus, clean=rules(5), partition_bytes=3000, **changes))
    table = pa.concat_tables(
        [pq.read_table(path) for path in sorted((tmp_path / "out" / "removed" / "filter").iterdir())]
    )
    rows = {row["id"]: row for row in table.to_pylist()}
    assert set(rows) == {f"d{row}" for row in range(0, 40, 4)}
    assert all(row["text"] == texts[row["row"]] for row in rows.values())
    shown = {(row["stage"], row["reason"], row["value"], row["threshold"]) for row in rows.values()}
    assert shown == {("filter", "too_few_words", 4.0, 5.0)}
    account = result.stages[1].book["web"]
    assert (account.num_in, account.num_out, dict(account.dropped)) == (40, 30, {"too_few_words": 10})


def test_the_scores_of_every_document_are_stored(made: Any, config: Config, go: Go, tmp_path: Path) -> None:
    result = go(config(made.folder, tmp_path / "out", clean=rules(100)))
    parts = [read_arrays(path) for path in sorted((tmp_path / "out" / "work" / "clean").glob("*.scores.npz"))]
    words = np.concatenate([part["words"] for part in parts])
    cleaned, filtered = (sum(a.num_out for a in stage.book.values()) for stage in result.stages[:2])
    assert len(words) == cleaned
    assert int((words >= 100).sum()) == filtered


class Picky(Rule):
    """Can't read every tenth document."""

    limits = (Limit("mine", most=1.0, above="mine"),)

    def apply(self, batch: pa.RecordBatch) -> Applied:
        rows = batch.column("row").to_numpy()
        failed = [Failed(int(place), "picky") for place in np.flatnonzero(rows % 10 == 0)]
        return Applied(
            batch.filter(pa.array(rows % 10 != 0)), {"mine": np.zeros(len(rows) - len(failed))}, failed=failed
        )


def test_what_a_rule_can_not_read_goes_to_quarantine_and_the_books_balance(
    made: Any, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picky = {"_target_": f"{__name__}.Picky"}
    tree = config(made.folder, tmp_path / "out", clean=rules(1, picky=picky))
    result = run(**check_config(tree, (*DEFAULT_TARGETS, __name__.partition(".")[0] + ".")))
    book = result.stages[0].book
    assert all(account.quarantined["picky"] > 0 for account in book.values())
    records = [
        json.loads(line)
        for path in (tmp_path / "out" / "quarantine" / "clean").iterdir()
        for line in path.read_text().splitlines()
    ]
    mine = [record for record in records if record["reason"] == "picky"]
    assert len(mine) == sum(account.quarantined["picky"] for account in book.values())
    assert all(record["offset_bytes"] is None and record["row"] % 10 == 0 and record["text"] for record in mine)


def test_a_rule_that_takes_most_of_a_source_stops_the_run_until_it_is_allowed(
    config: Config, go: Go, redone: Redone, tmp_path: Path
) -> None:
    lines = [
        json.dumps({"text": " ".join(f"w{row}x{i}" for i in range(3 if row % 3 else 60)), "id": f"d{row}"})
        for row in range(300)
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    corpus = {"_target_": "data_pipeline.sources.jsonl.Jsonl", "paths": [str(tmp_path / "a.jsonl")], "source": "web"}
    changes = {"mix__held_out_frac": 0.2, "tokenizer__vocab_size": 262, "decontaminate__test_sets": []}
    tree = config(tmp_path, tmp_path / "out", corpus=corpus, clean=rules(5), **changes)
    with pytest.raises(
        RuleTakesTooMuch,
        match=r"^clean\.max_loss_frac: clean\.rules\.length takes 200 of the 300 documents of source 'web' \(66\.7%: "
        r"too_few_words 200\), more than 50\.0%; for example d1 \(too_few_words 3, limit 5\): 'w1x0 w1x1 w1x2'; d2 "
        r".*report\.html",
    ):
        go(tree)
    tree["clean"] |= {"max_loss_frac": 0.7}
    assert redone(go(tree))[:2] == ["exact", "near"]


class Colour(Rule):
    """Labels all documents but every fourth as blue, which is not wanted."""

    choices = (Choice("colour", ("red", "blue"), frozenset({0}), "colour_not_wanted", "sure"),)

    def __init__(self, all_blue: bool = False) -> None:
        self._all_blue = all_blue

    def apply(self, batch: pa.RecordBatch) -> Applied:
        blue = (batch.column("row").to_numpy() % 4 > 0) | self._all_blue
        return Applied(batch, {"colour": blue.astype(float), "sure": np.full(len(blue), 0.875)})


@pytest.mark.parametrize(
    ("all_blue", "error", "said"),
    [
        (False, RuleTakesTooMuch, r"clean\.rules\.colour takes 150 .*example d1 \(colour_not_wanted 0\.875\): 'w1x0 "),
        (True, NothingLeft, r"no document is left .*; e\.g\. d0: colour_not_wanted 0\.875\)"),
    ],
)
def test_labels_that_take_too_much_stop_the_run_in_words(
    config: Config, go: Go, tmp_path: Path, all_blue: bool, error: type[Exception], said: str
) -> None:
    lines = [json.dumps({"text": f"w{row}x0 w{row}x1", "id": f"d{row}"}) for row in range(200)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    corpus = {"_target_": "data_pipeline.sources.jsonl.Jsonl", "paths": [str(tmp_path / "a.jsonl")], "source": "web"}
    colour = {"_target_": f"{__name__}.Colour", "all_blue": all_blue}
    tree = config(tmp_path, tmp_path / "out", corpus=corpus, clean=rules(1, colour=colour), decontaminate__test_sets=[])
    with pytest.raises(error, match=said):
        run(**check_config(tree, (*DEFAULT_TARGETS, __name__.partition(".")[0] + ".")))
