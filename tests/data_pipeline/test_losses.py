"""What stages took of a source, in words: the error when nothing is left, the warning when much is gone."""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data_pipeline.clean.rules import Applied, Failed, Rule
from data_pipeline.limits import (
    TooManyUnreadable,
)
from data_pipeline.losses import (
    NothingLeft,
    check_left,
    large_changes,
    large_losses,
    large_markup,
    removed_before,
)
from data_pipeline.mix.split import SplitError
from data_pipeline.pipeline import Result
from data_pipeline.storage import DamagedFile, write_removed
from tests.data_pipeline.accounts import account

Config = Callable[..., dict[str, Any]]
Go = Callable[..., Result]
Redone = Callable[[Result], list[str]]
PAGES = "documents of source 'x' begin as HTML pages and no rule took the text out of them"
FRAGMENTS = "documents of source 'x' begin with a tag, as fragments of HTML do"
LOOSEN = {"clean": "clean=none", "exact": "", "near": "dedup=none", "split": "mix.held_out_frac="}


def no_advice(source: str) -> str:
    return ""


@pytest.mark.bad_input(48)
def test_nothing_is_left_names_every_stage_that_removed_something_and_its_setting() -> None:
    clean = account(1003, {"gopher_too_few_words": 900, "too_short": 99}, {"json": 2})
    books = [("clean", {"web": clean}), ("exact", {"web": account(2)}), ("near", {"web": account(2, {"alike": 2})})]
    with pytest.raises(NothingLeft) as raised:
        check_left(books, {}, lambda source: f"; or try this with {source}", LOOSEN, [])
    assert str(raised.value) == (
        "source 'web': no document is left to train on after near: 1,003 records were read "
        "(clean: gopher_too_few_words 900, too_short 99, json (unreadable) 2; near: alike 2). "
        "Loosen the rules (clean: clean=none; near: dedup=none), or give other input; or try this with web."
    )
    check_left(books[:2], {}, no_advice, LOOSEN, [])  # two are left


def test_documents_that_are_held_out_are_not_left_to_train_on() -> None:
    books = [("clean", {"books": account(3)}), ("split", {"books": account(3)})]
    check_left(books, {"books": 1}, no_advice, LOOSEN, [])
    with pytest.raises(
        NothingLeft, match=r"after split: 3 records were read \(split: held out 3\)\. .*mix\.held_out_frac="
    ):
        check_left(books, {"books": 0}, no_advice, LOOSEN, [])


def test_the_example_of_a_damaged_file_is_not_told(tmp_path: Path, flip: Callable[[Path, str], None]) -> None:
    path = tmp_path / "removed" / "clean" / "a.parquet"
    row = {"id": "a", "source": "web", "file": "a.jsonl", "row": 0, "stage": "clean", "reason": "short", "snippet": ""}
    write_removed(path, [row | {"value": 3.0, "threshold": 20.0}])
    books = [("clean", {"web": account(1, {"short": 1})})]
    with pytest.raises(NothingLeft, match=r"e\.g\. a: short 3, limit 20"):
        check_left(books, {}, no_advice, LOOSEN, [path])
    flip(path, "value")
    with pytest.raises(DamagedFile, match=r"a\.parquet: it is not what was written"):
        check_left(books, {}, no_advice, LOOSEN, [path])


def test_a_large_loss_is_one_of_documents_or_of_their_text() -> None:
    book = {"web": account(100, {"short": 10}), "books": account(20, {"long": 1}, {"json": 2})}
    found = [Path("out/removed/clean"), Path("out/quarantine/clean")]
    (line,) = large_losses("clean", book, {}, found)
    assert line.startswith("clean: removed 3 of 20 documents of source 'books': json (unreadable) 2, long 1; ")
    assert line.endswith("; see out/removed/clean and out/quarantine/clean")
    lines = large_losses("clean", book, {"web": [1000, 101], "books": [1000, 10]}, found)
    assert [line.partition(": ")[2][:50] for line in lines] == [
        "removed 10 of 100 documents of source 'web' (10% o",
        "removed 3 of 20 documents of source 'books' (1% of",
    ]
    assert large_losses("clean", {"web": account(100, {"short": 10})}, {"web": [1000, 100]}, found) == []


def test_a_stage_that_only_cuts_says_how_much() -> None:
    assert large_losses("paragraphs", {"s": account(100)}, {"s": [1000, 300]}, [Path("removed/paragraphs")]) == [
        "paragraphs: cut 30% of the text of source 's'; see removed/paragraphs"
    ]


def test_rules_that_take_much_text_of_documents_that_stay_are_told() -> None:
    text = {"web": [100, 1_200_000, 60_000], "books": [500, 1000, 900], "longer": [500, 10, 30], "empty": [0, 0, 0]}
    (line,) = large_changes("clean", text)
    assert line.startswith(
        "clean: the rules took 95% of the text of source 'web' out of documents that stay (1.2 MB of text became 60.0 "
        "kB); where these were pages of HTML that is usual, "
    )


def test_of_a_few_small_documents_nothing_is_told() -> None:
    assert large_changes("filter", {"none": [0, 0, 0], "few": [99, 999_999, 0]}) == []
    assert len(large_changes("filter", {"many": [100, 3400, 0], "large": [1, 1_000_000, 0]})) == 2


@pytest.mark.parametrize(
    ("found", "key", "expected"),
    [
        ([211, 208, 0], "", f"208 of 211 {PAGES}; add clean=web or clean=html, or go on where"),
        ([211, 21, 52], "", ""),
        ([211, 22, 0], "clean.rules.html", f"22 of 211 {PAGES}; look at clean.rules.html, or"),
        ([150, 0, 150], "clean.rules.html", f"150 of 150 {FRAGMENTS}; add clean.rules.html.only_html=always, or"),
        (
            [150, 0, 50],
            "",
            f"50 of 150 {FRAGMENTS}; add clean=web or clean=html, and clean.rules.html.only_html=always, or",
        ),
        ([0, 0, 0], "", ""),
    ],
)
def test_html_that_no_rule_read_is_told_with_the_line_to_type(found: list[int], key: str, expected: str) -> None:
    counts = dict(zip(("documents", "pages", "fragments"), found, strict=True))
    lines = large_markup({"x": counts}, key)
    assert len(lines) == bool(expected) and all(line.startswith(expected) for line in lines)


@pytest.mark.parametrize(
    ("before", "after", "typed"),
    [
        ("<!DOCTYPE html><html><body>", "</body></html>", "add clean=web or clean=html,"),
        ("<div>", "</div>", "clean.rules.html.only_html=always,"),
    ],
)
def test_a_run_over_html_warns_and_where_nothing_is_left_says_why(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str], go: Go, before: str, after: str, typed: str
) -> None:
    lines = [f"{before}<p>A page {row}, with words of its own: {row * 7}.</p>{after}" for row in range(40)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": line}) + "\n" for line in lines))
    corpus = {"_target_": "data_pipeline.sources.jsonl.Jsonl", "paths": [f"{tmp_path}/a.jsonl"], "source": "web"}
    changes = {"mix__held_out_frac": 0.2, "tokenizer__vocab_size": 262, "decontaminate__test_sets": []}
    changes["dedup"] = {"_target_": "data_pipeline.dedup.dedup.NoDedup"}
    result = go(config(tmp_path, tmp_path / "out", corpus=corpus, **changes))
    (warned,) = [
        line for line in capsys.readouterr().err.splitlines() if "40 of 40 documents of source 'web' be" in line
    ]
    assert warned.startswith("warning: ") and typed in warned and typed in result.report.read_text()
    length = {"_target_": "data_pipeline.clean.length.Length", "min_words": 1000}
    clean = {"_target_": "data_pipeline.clean.rules.Rules", "rules": {"length": length}}
    with pytest.raises(NothingLeft, match=re.escape(typed)):
        go(config(tmp_path, tmp_path / "out", corpus=corpus, clean=clean, **changes))


def test_lines_that_a_rule_cuts_are_told_and_what_it_can_not_read_is_none_of_them(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str], go: Go
) -> None:
    """C4's rule takes lines without a full stop; a document that a rule can't read goes as a whole."""
    lines = [f"A sentence of document {row} that ends with a full stop." for row in range(240)]
    texts = {"menu": [f"{line}\n" + f"menu entry {row}\n" * 90 for row, line in enumerate(lines)]}
    texts["prose"] = lines
    for source, documents in texts.items():
        (tmp_path / source).mkdir()
        (tmp_path / source / "a.jsonl").write_text("".join(json.dumps({"text": each}) + "\n" for each in documents))
    jsonl = "data_pipeline.sources.jsonl.Jsonl"
    sources = {
        name: {"_target_": jsonl, "paths": [f"{tmp_path}/{name}/*"], "source": name, "weight": 1.0} for name in texts
    }
    corpus = {"_target_": "data_pipeline.sources.several.Several", "sources": sources}
    picky = {"_target_": f"{__name__}.Picky"}
    c4 = {"_target_": "data_pipeline.clean.c4.C4", "min_sentences": 0}
    clean = {"_target_": "data_pipeline.clean.rules.Rules", "rules": {"picky": picky, "c4": c4}}
    changes = {"mix__held_out_frac": 0.2, "tokenizer__vocab_size": 262, "decontaminate__test_sets": []}
    changes["dedup"] = {"_target_": "data_pipeline.dedup.dedup.NoDedup"}
    tree = config(tmp_path, tmp_path / "out", corpus=corpus, clean=clean, min_bad_records=100, **changes)
    result = go(tree, __name__.partition(".")[0] + ".")
    (warned,) = [line for line in capsys.readouterr().err.splitlines() if "the rules took" in line]
    assert re.match(r"warning: filter: the rules took 9\d% of the text of source 'menu' out of documents ", warned)
    kept = [row for row in range(240) if row % 20]
    read, left = (sum(len(text[row]) for row in kept) for text in (texts["menu"], lines))
    assert result.stages[1].facts["bytes_rewritten"]["menu"] == [len(kept), read, left]


class Picky(Rule):
    """Can't read every twentieth document."""

    def apply(self, batch: pa.RecordBatch) -> Applied:
        rows = batch.column("row").to_numpy()
        failed = [Failed(int(place), "picky") for place in np.flatnonzero(rows % 20 == 0)]
        return Applied(batch.filter(pa.array(rows % 20 != 0)), failed=failed)


def test_what_was_removed_before_is_a_clause_of_all_sources() -> None:
    books = [("clean", {"web": account(9, {"short": 2}), "books": account(4, {"short": 1})}), ("tokenizer", {})]
    assert removed_before(books) == "; 13 were read, earlier stages removed (clean: short 3)"
    assert removed_before([("clean", {"web": account(9)})]) == ""


@pytest.mark.bad_input(10)
def test_a_source_without_documents_is_an_error(inputs: Path, config: Config, tmp_path: Path, go: Go) -> None:
    (inputs / "books" / "d.jsonl").write_bytes(b"\n\n")
    with pytest.raises(NothingLeft, match=r"'books': no document is left.*after clean: 0 records.*the input is empty"):
        go(config(inputs, tmp_path / "out"))
    (inputs / "books" / "d.jsonl").write_bytes(gzip.decompress((inputs / "web" / "b.jsonl.gz").read_bytes()))
    del_web = config(inputs, tmp_path / "out2")
    del_web["corpus"]["sources"]["web"]["paths"] = [str(inputs / "web" / "b.jsonl.gz")]
    with pytest.raises(NothingLeft, match=r"'web': no document is left.*after exact: 70 records.*exact_duplicate"):
        go(del_web)


def test_one_long_text_that_the_rules_take_out_says_which_rule_and_what_to_type(
    config: Config, tmp_path: Path, go: Go
) -> None:
    (tmp_path / "plays.txt").write_text("To be, or not to be.\n\n" * 20_000)
    text = {"_target_": "data_pipeline.sources.text.Text", "paths": [str(tmp_path / "plays.txt")], "source": "plays"}
    gopher = {"_target_": "data_pipeline.clean.quality.GopherQuality"}
    clean = {"_target_": "data_pipeline.clean.rules.Rules", "rules": {"gopher": gopher}}
    tree = config(tmp_path, tmp_path / "out", corpus=text, clean=clean, decontaminate__test_sets=[])
    with pytest.raises(NothingLeft) as raised:
        go(tree)
    message = str(raised.value)
    assert "1 record was read" in message and "filter: gopher_too_many_words 1" in message
    assert "plays.txt#0: gopher_too_many_words 120,000, limit 100,000" in message
    assert "clean=none" in message and "corpus.separator=" in message
    with pytest.raises(SplitError, match=r"corpus\.separator"):
        go(config(tmp_path, tmp_path / "out", corpus=text, decontaminate__test_sets=[]))


def test_a_stage_that_takes_much_of_the_text_says_so(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str], go: Go
) -> None:
    rng = random.Random(5)
    for number in range(40):
        text = " ".join(f"{rng.choice('abc')}{rng.randrange(500)}" for _ in range(100))
        (tmp_path / f"{number:02d}.txt").write_text(text[:300])
    (tmp_path / "long.txt").write_text("long" * 3750)  # 1 of 41 documents, 15,000 of 27,000 bytes
    text = {"_target_": "data_pipeline.sources.text.Text", "paths": [f"{tmp_path}/*.txt"], "source": "plays"}
    length = {"_target_": "data_pipeline.clean.length.Length", "min_words": 2}
    clean = {"_target_": "data_pipeline.clean.rules.Rules", "rules": {"length": length}}
    tree = config(tmp_path, tmp_path / "out", corpus=text, clean=clean, decontaminate__test_sets=[])
    go(tree | {"mix": tree["mix"] | {"held_out_frac": 0.2}})
    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1
    assert re.search(
        r"filter: removed 1 of 41 documents of source 'plays' \(5\d% of the text\): too_few_words 1; ", warnings[0]
    )


def test_a_split_of_what_little_earlier_stages_left_says_what_they_took(config: Config, tmp_path: Path, go: Go) -> None:
    for number in range(9):
        (tmp_path / f"{number}.txt").write_text("the same words in every one of these files")
    text = {"_target_": "data_pipeline.sources.text.Text", "paths": [f"{tmp_path}/*.txt"], "source": "plays"}
    with pytest.raises(SplitError, match=r"mix: 1 document to split.*9 were read, .*\(exact: exact_duplicate 8\)"):
        go(config(tmp_path, tmp_path / "out", corpus=text, decontaminate__test_sets=[]))


def wrong_field(tmp_path: Path, text: Callable[[int], str], number: int = 20) -> dict[str, Any]:
    """A corpus whose documents stand in `body`, and something else in `text`."""
    lines = [{"text": text(i), "body": f"the words of page {i} " * (i + 3), "n": i} for i in range(number)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    jsonl = "data_pipeline.sources.jsonl.Jsonl"
    return {"_target_": jsonl, "paths": [str(tmp_path / "a.jsonl")], "source": "pages"}


HINT = (
    "; or set the source's text_key (corpus.text_key=) where another field than 'text' holds the text: the first "
    "record of a.jsonl has 'text' (4 characters), 'body' (60 characters), 'n'"
)


def test_a_small_corpus_of_which_the_wrong_field_is_read_says_which_fields_there_are(
    config: Config, tmp_path: Path, go: Go, parse_page: Callable[[Path], Any]
) -> None:
    out = tmp_path / "out"
    with pytest.raises(SplitError) as raised:
        go(config(tmp_path, out, corpus=wrong_field(tmp_path, lambda i: "page"), decontaminate__test_sets=[]))
    removed = "20 were read, earlier stages removed (exact: exact_duplicate 19)"
    assert str(raised.value).endswith(f"{removed}{HINT}. What became of the documents so far: {out / 'report.html'}")
    page = parse_page(out / "report.html")
    assert removed in page.text
    assert ["exact_duplicate", "19", "95.00%", "76 B", "exact duplicates", "removed"] in [
        row[:6] for row in page.tables[2]
    ]
    assert "Removed: exact duplicates" in page.texts and "held-out split" not in page.texts

    length = {"_target_": "data_pipeline.clean.length.Length", "min_words": 2}
    clean = {"_target_": "data_pipeline.clean.rules.Rules", "rules": {"length": length}}
    corpus = wrong_field(tmp_path, lambda i: f"p{i:03d}")
    with pytest.raises(NothingLeft) as nothing:
        go(config(tmp_path, out, corpus=corpus, clean=clean, decontaminate__test_sets=[]))
    assert f"{HINT}. What became" in str(nothing.value)
    assert "Scores and limits" in parse_page(out / "report.html").texts


def test_what_a_limit_stops_leaves_a_page_and_the_next_run_its_own(
    config: Config, tmp_path: Path, go: Go, parse_page: Callable[[Path], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "one two"}\n{"text": "three four"}\n' + "{broken\n" * 8)
    jsonl = {"_target_": "data_pipeline.sources.jsonl.Jsonl", "paths": [str(tmp_path / "a.jsonl")], "source": "pages"}
    nothing = {"_target_": "data_pipeline.decontaminate.decontaminator.NoDecontaminate"}
    tree = config(tmp_path, tmp_path / "out", corpus=jsonl, decontaminate=nothing, tokenizer__vocab_size=257)
    with pytest.raises(TooManyUnreadable, match=r"What became of the documents so far: .*report\.html$"):
        go(tree | {"min_bad_records": 5})
    assert f"; see {tmp_path / 'out' / 'quarantine' / 'clean'}\n" in capsys.readouterr().err
    stopped = parse_page(tmp_path / "out" / "report.html")
    assert "Unreadable records" in stopped.texts and "Why it stopped" in stopped.texts
    go(tree)
    assert "Why it stopped" not in parse_page(tmp_path / "out" / "report.html").texts

    finished = (tmp_path / "out" / "report.html").read_bytes()
    with pytest.raises(TooManyUnreadable, match=r"stopped\.html$"):
        go(tree | {"min_bad_records": 5})
    assert (tmp_path / "out" / "report.html").read_bytes() == finished  # nothing of what it shows has changed
    assert "Why it stopped" in parse_page(tmp_path / "out" / "stopped.html").texts
    go(tree)
    assert not (tmp_path / "out" / "stopped.html").exists()


def test_the_page_of_a_stopped_run_shows_nothing_that_an_earlier_run_removed(
    config: Config, tmp_path: Path, go: Go
) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text(f'{{"text": "of{name}"}}\n{{broken {name}\n{{"text": "too{name}"}}\n')
    length = {"_target_": "data_pipeline.clean.length.Length", "min_words": 2}
    clean = {"_target_": "data_pipeline.clean.rules.Rules", "rules": {"length": length}}
    for names in (["a", "b"], ["a"]):
        paths = [str(tmp_path / f"{name}.jsonl") for name in names]
        corpus = {"_target_": "data_pipeline.sources.jsonl.Jsonl", "paths": paths, "source": "pages"}
        with pytest.raises(NothingLeft):
            go(
                config(
                    tmp_path,
                    tmp_path / "out",
                    corpus=corpus,
                    clean=clean,
                    partition_bytes=1,
                    decontaminate__test_sets=[],
                )
            )
        page = (tmp_path / "out" / "report.html").read_text()
        assert [f"too{name}" in page for name in ("a", "b")] == [name in names for name in ("a", "b")]
