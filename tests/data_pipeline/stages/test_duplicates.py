"""Exact and near duplicates as stages."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_pipeline.dedup.dedup import Features
from data_pipeline.dedup.exact import Exact
from data_pipeline.dedup.guards import TooMuchAlike
from data_pipeline.limits import TooManyDuplicates
from data_pipeline.losses import NothingLeft
from data_pipeline.pipeline import Result
from data_pipeline.stages import duplicates, view
from data_pipeline.stages.preference import preference
from data_pipeline.storage import read_batch
from foundation.errors import ConfigError, GroundworkError

Config = Callable[..., dict[str, Any]]
Go = Callable[..., Result]
Redone = Callable[[Result], list[str]]


class Head(Exact):
    """A user's own: documents are the same where their first words are."""

    def __init__(self, words: int) -> None:
        self.words = words

    def features(self, texts: pa.LargeStringArray) -> Features:
        heads = [" ".join(text.split()[: self.words]) for text in texts.to_pylist()]
        return super().features(pa.array(heads, pa.large_string()))


def test_another_value_of_a_users_own_setting_is_noticed(
    made: Any, config: Config, go: Go, redone: Redone, output_hashes: Callable[[Path], Any], tmp_path: Path
) -> None:
    out, fresh = tmp_path / "out", tmp_path / "fresh"

    def head(words: int, folder: Path) -> list[str]:
        tree = config(made.folder, folder, dedup={"_target_": f"{__name__}.Head", "words": words})
        return redone(go(tree, f"{__name__}."))

    head(2, out)
    assert "exact" in head(400, out)
    head(400, fresh)
    assert output_hashes(out) == output_hashes(fresh)


@pytest.mark.parametrize(
    ("dedup", "lines"),
    [("dedup.NoDedup", []), ("exact.Exact", ["exact:"]), ("minhash.MinHash", ["exact:", "near:", "near:", "near:"])],
)
def test_only_work_that_is_done_is_spoken_of(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str], dedup: str, lines: list[str], go: Go
) -> None:
    for number in range(12):
        (tmp_path / f"{number}.txt").write_text(f"the words of file {number} and of {number * number}")
    text = {"_target_": "data_pipeline.sources.text.Text", "paths": [f"{tmp_path}/*.txt"]}
    node = {"_target_": f"data_pipeline.dedup.{dedup}"}
    mix = {"_target_": "data_pipeline.mix.mix.Mix", "held_out_frac": 0.4}
    changes = {"dedup": node, "mix": mix, "tokenizer__vocab_size": 262, "decontaminate__test_sets": []}
    go(config(tmp_path, tmp_path / "out", corpus=text, **changes))
    said = capsys.readouterr().err
    assert [word for word in said.split() if word in ("exact:", "near:")] == lines
    assert ("bands of" in said) == (dedup == "minhash.MinHash")
    assert ("0.5: 55%, 0.6: 87%" in said) == (dedup == "minhash.MinHash")
    assert (tmp_path / "out" / "deduplication" / "summary.json").is_file() == (dedup == "minhash.MinHash")
    measured = list((tmp_path / "out" / "work" / "exact").glob("?????-?????.npz"))
    assert bool(measured) == (dedup != "dedup.NoDedup")


@pytest.fixture
def dated(tmp_path: Path, config: Config) -> Callable[..., dict[str, Any]]:
    """Two sources of the same twelve documents in other words' case, with dates and one word more in the second."""
    inputs = tmp_path / "dated"
    for source in ("web", "books"):
        (inputs / source).mkdir(parents=True)
        lines = []
        for number in range(1, 13):
            words = " ".join(f"w{number * place}" for place in range(200))
            text = words.upper() if number % 2 else f"{words} {source}"
            date = f"{2010 + number + (source == 'web') * (5 if number % 3 else -5)}-01-01"
            lines.append(json.dumps({"id": f"{source}-{number}", "text": text, "date": date}))
        (inputs / source / "a.jsonl").write_text("\n".join(lines))
    (inputs / "test.jsonl").write_text("")

    def dated(folder: Path, **dedup: Any) -> dict[str, Any]:
        node = {"_target_": "data_pipeline.dedup.minhash.MinHash", **dedup}
        mix = {"_target_": "data_pipeline.mix.mix.Mix", "held_out_frac": 0.1}
        changes = {"dedup": node, "mix": mix, "tokenizer__vocab_size": 262, "decontaminate__test_sets": []}
        return config(inputs, folder, **changes)

    return dated


def removed_ids(folder: Path, stage: str = "") -> dict[str, str]:
    tables = [pq.read_table(path) for path in sorted((folder / "removed" / stage).rglob("*.parquet"))]
    return {row["id"]: row["kept_id"] for table in tables for row in table.to_pylist()}


def test_the_newest_of_exact_and_near_copies_stays_and_nothing_is_measured_for_it_anew(
    dated: Callable[..., dict[str, Any]], go: Go, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(NothingLeft):  # of web, which comes second
        go(dated(out, keep="first"))
    measured = {path: path.stat().st_mtime_ns for path in (out / "work" / "exact").glob("?????-?????.npz")}
    go(dated(out, keep="newest", keep_field="date"))
    newer = {n: ("books", "web") if n % 3 == 0 else ("web", "books") for n in range(1, 13)}
    assert removed_ids(out) == {f"{old}-{n}": f"{new}-{n}" for n, (new, old) in newer.items()}
    assert measured == {path: path.stat().st_mtime_ns for path in measured}
    near = pa.concat_tables(pq.read_table(path) for path in (out / "removed" / "near").rglob("*.parquet"))
    assert len(set(near["cluster"].to_pylist())) == len(near) == 6  # a pair each


def test_a_field_that_no_document_has_is_refused(dated: Callable[..., dict[str, Any]], go: Go, tmp_path: Path) -> None:
    with pytest.raises(GroundworkError, match=r"^dedup\.keep_field: no document has the field 'dat'; .*mean 'date'"):
        go(dated(tmp_path / "out", keep="newest", keep_field="dat"))


def test_documents_without_a_date_go_first_and_are_counted(
    dated: Callable[..., dict[str, Any]], go: Go, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = dated(tmp_path / "out", keep="oldest", keep_field="date")
    books = tmp_path / "dated" / "books" / "a.jsonl"
    records = [json.loads(line) for line in books.read_text().splitlines()]
    books.write_text("".join(json.dumps({**each, "date": None}) + "\n" for each in records))
    with pytest.raises(NothingLeft, match="source 'books'"):
        go(tree)
    assert removed_ids(tmp_path / "out", "exact") == {f"books-{n}": f"web-{n}" for n in range(1, 13, 2)}
    said = capsys.readouterr().err
    assert f"exact: {len(records):,} of {2 * len(records):,} documents without 'date' (dedup.keep_field)" in said


def test_a_date_that_is_none_is_refused_with_its_file_and_record(
    dated: Callable[..., dict[str, Any]], go: Go, tmp_path: Path
) -> None:
    with pytest.raises(GroundworkError, match=r"^dedup\.keep_field: .*a\.jsonl, record 0 .*'.*' is not a number"):
        go(dated(tmp_path / "out", keep="score", keep_field="date"))


EXACT = {"_target_": "data_pipeline.dedup.exact.Exact"}


def test_exact_copies_alone_follow_keep_too(dated: Callable[..., dict[str, Any]], go: Go, tmp_path: Path) -> None:
    """Copies are those of odd number, the earlier in books; see `dated`."""
    out = tmp_path / "out"
    go(dated(out, **EXACT))
    earlier = {f"web-{n}": f"books-{n}" for n in range(1, 13, 2)}
    assert removed_ids(out, "exact") == earlier
    measured = {path: path.stat().st_mtime_ns for path in (out / "work" / "exact").glob("?????-?????.npz")}
    go(dated(out, **EXACT, keep="longest"))
    assert removed_ids(out, "exact") == earlier
    go(dated(out, **EXACT, keep="newest", keep_field="date"))
    newer = {n: ("books", "web") if n % 3 == 0 else ("web", "books") for n in range(1, 13, 2)}
    assert removed_ids(out, "exact") == {f"{old}-{n}": f"{new}-{n}" for n, (new, old) in newer.items()}
    go(dated(out, **EXACT, keep="source", keep_sources=["web", "books"]))
    assert removed_ids(out, "exact") == {books: web for web, books in earlier.items()}
    assert measured == {path: path.stat().st_mtime_ns for path in measured}


def test_near_copies_follow_the_order_of_sources(dated: Callable[..., dict[str, Any]], go: Go, tmp_path: Path) -> None:
    """Those of even number, of which exact has taken none; books, which go, come first in the corpus."""
    with pytest.raises(NothingLeft):
        go(dated(tmp_path / "out", keep="source", keep_sources=["web", "books"]))
    for stage, first in (("exact", 1), ("near", 2)):
        assert removed_ids(tmp_path / "out", stage) == {f"books-{n}": f"web-{n}" for n in range(first, 13, 2)}


def test_an_order_of_sources_reads_no_document_and_one_by_a_field_no_text(
    dated: Callable[..., dict[str, Any]], go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read is noted where it is decompressed."""
    out, columns = tmp_path / "out", []
    go(dated(out, **EXACT))

    def watched(*given: Any) -> np.ndarray | None:
        with monkeypatch.context() as patch:
            patch.setattr(view, "read_batch", lambda *given: columns.append(given[2:]) or read_batch(*given))
            return preference(*given)

    monkeypatch.setattr(duplicates, "preference", watched)
    go(dated(out, **EXACT, keep="source", keep_sources=["books", "web"]))
    assert not columns
    go(dated(out, **EXACT, keep="newest", keep_field="date"))
    assert set(columns) == {("metadata",)}


def test_a_source_without_a_place_is_refused_before_anything_is_read(
    dated: Callable[..., dict[str, Any]], go: Go, tmp_path: Path
) -> None:
    for dedup in ({}, EXACT):
        with pytest.raises(ConfigError, match=r"^dedup\.keep_sources: source 'books' .*did you mean 'books'\?; "):
            go(dated(tmp_path / "out", **dedup, keep="source", keep_sources=["web", "book"]))
        assert not (tmp_path / "out").exists()


@pytest.fixture
def alike(tmp_path: Path, config: Config) -> Callable[..., dict[str, Any]]:
    """150 pages, each with words of its own, a licence that all have, and a field of it with a word of the page's."""
    rng = random.Random(0)
    licence = " ".join(f"licence{i}" for i in range(120))
    lines = [
        {
            "id": str(i),
            "text": " ".join(f"w{rng.randrange(9999)}" for _ in range(150)),
            "l": licence,
            "n": f"{licence} {i}",
        }
        for i in range(150)
    ]
    (tmp_path / "alike").mkdir()
    (tmp_path / "alike" / "pages.jsonl").write_text("\n".join(map(json.dumps, lines)))

    def alike(folder: Path, text_key: str, **dedup: Any) -> dict[str, Any]:
        corpus = {
            "_target_": "data_pipeline.sources.jsonl.Jsonl",
            "paths": [str(tmp_path / "alike" / "pages.jsonl")],
            "text_key": text_key,
        }
        node = {"_target_": "data_pipeline.dedup.minhash.MinHash", **dedup}
        changes = {"dedup": node, "tokenizer__vocab_size": 262, "decontaminate__test_sets": []}
        return config(tmp_path, folder, corpus=corpus, **changes)

    return alike


@pytest.mark.parametrize(
    ("text_key", "stage", "dedup"),
    [("l", "exact", {}), ("l", "exact", EXACT), ("n", "near", {})],
)
def test_a_wrong_text_key_stops_the_run_and_is_shown_as_what_it_is(
    alike: Callable[..., dict[str, Any]], go: Go, tmp_path: Path, text_key: str, stage: str, dedup: dict[str, Any]
) -> None:
    out = tmp_path / "out"
    for _ in range(2):  # what is finished is found again, and stops it again
        with pytest.raises(
            TooManyDuplicates, match=rf"149 of the 150 .*\({stage}: 149\).*'licence0 licence1 "
        ) as error:
            go(alike(out, text_key, **dedup))
        assert "text_key" in str(error.value)
    assert len(removed_ids(out)) == 149
    go(alike(out, "text", **dedup))
    assert removed_ids(out) == {}


def test_the_limit_is_no_part_of_what_is_done(
    alike: Callable[..., dict[str, Any]], go: Go, redone: Redone, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    go(alike(out, "text"))
    assert redone(go(alike(out, "text", max_loss_frac=1.0))) == []
    assert redone(go(alike(out, "text", max_loss_frac=0.5))) == []


def test_a_cluster_within_the_limit_redoes_nothing_and_one_above_it_is_shown(
    alike: Callable[..., dict[str, Any]], go: Go, redone: Redone, tmp_path: Path
) -> None:
    """The texts of field n differ in a word: bands connect all 150, none is unlike another."""
    out = tmp_path / "out"
    keys = {"max_loss_frac": 1.0, "threshold": 0.99}
    go(alike(out, "n", **keys))
    for limit in (1000, 150):
        assert redone(go(alike(out, "n", **keys, max_cluster=limit))) == []
    for _ in range(2):
        with pytest.raises(TooMuchAlike, match=r"^dedup\.max_cluster: bands connect 150 of 150 .*'licence0 licence1 "):
            go(alike(out, "n", **keys, max_cluster=149))
    assert redone(go(alike(out, "n", **keys))) == ["near"]


def test_bands_that_find_less_than_they_could_are_warned_of(
    alike: Callable[..., dict[str, Any]], go: Go, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    go(alike(tmp_path / "out", "text", bands=9, rows=13))
    assert "near: warning: dedup.bands: that is less than the 99.9%" in capsys.readouterr().err
