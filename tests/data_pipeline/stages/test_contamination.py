"""What is written of every test item, and that planted copies are found as often as it is said."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from data_pipeline.documents import SNIPPET_CHARS
from data_pipeline.pipeline import Result

Config = Callable[..., dict[str, Any]]
Go = Callable[[dict[str, Any]], Result]
WORDS = [f"{start}{middle}" for start in "bdfgklmnprst" for middle in ("ano", "estu", "irre", "olm", "u", "andr")]


def prose(seed: int, num_words: int = 60) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=num_words))


ITEMS = [{"question": prose(1000 + number, 30), "answer": number} for number in range(6)] + [{"question": "Why so?"}]
WHOLE, HALF, COMMON = (str(ITEMS[number]["question"]) for number in (0, 2, 4))
LEAKY = {  # id -> text
    "whole": f"{prose(1)}\n\n— {WHOLE.upper()} —\n\n{prose(2)}",
    "again": f"É {WHOLE.replace(' ', chr(10))}",
    "part": f"{prose(3)} {' '.join(HALF.split()[:14])}",
    **{f"common{number}": f"{prose(50 + number)} {COMMON}" for number in range(5)},
}


@pytest.fixture(scope="module")
def leaky(config: Config, go: Go, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a corpus with documents that hold a test item whole, in part, and as a common phrase."""
    folder = tmp_path_factory.mktemp("leaky")
    records = [{"id": f"plain{number}", "text": prose(100 + number)} for number in range(60)]
    records += [{"id": name, "text": text} for name, text in LEAKY.items()]
    (folder / "docs.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    lines = [json.dumps(item, indent=None, separators=(" ,", ": ")) for item in ITEMS]
    (folder / "quiz.jsonl").write_text("\n\n".join(lines))  # blank lines are no rows, the last line has no end
    go(_tree(config, folder, folder / "out"))
    return folder


def _tree(config: Config, folder: Path, out: Path, workers: int = 1, **more: Any) -> dict[str, Any]:
    corpus = {"_target_": "data_pipeline.sources.jsonl.Jsonl", "paths": [str(folder / "docs.jsonl")]}
    changes = {"test_sets": [str(folder / "quiz.jsonl")], "max_document_frequency": 4, "min_words": 3, **more}
    dedup = {"_target_": "data_pipeline.dedup.dedup.NoDedup"}
    settings = {f"decontaminate__{name}": value for name, value in changes.items()}
    settings |= {"tokenizer__vocab_size": 300, "partition_bytes": 4000, "executor__workers": workers}
    return config(folder, out, corpus=corpus, dedup=dedup, **settings)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_item_has_a_status(leaky: Path) -> None:
    lines = lines_of(leaky / "out/decontamination/quiz.jsonl")
    assert [line["item"] for line in lines] == [str(row) for row in range(7)]
    expected = ["contaminated", "clean", "partial", "clean", "common_phrases", "clean", "too_short"]
    assert [line["status"] for line in lines] == expected
    assert [(line["num_contaminated"], line["num_partial"]) for line in lines[:3]] == [(2, 0), (0, 0), (0, 1)]
    assert [line["words"] for line in lines] == [30, 30, 30, 30, 30, 30, 2]
    assert [line["counted_words"] for line in lines] == [30, 30, 30, 30, 0, 30, 0]
    assert [line["document_frequency"] for line in lines[:3]] == [2, 0, 0] and lines[4]["document_frequency"] > 4
    assert lines[0]["text"] == WHOLE[:SNIPPET_CHARS] and lines[6]["document_frequency"] == 0
    assert lines[0]["coverage"] == 1.0 and lines[2]["coverage"] == 14 / 30
    sets = json.loads((leaky / "out/decontamination/summary.json").read_text())["sets"]
    assert sets["quiz"] == {"contaminated": 1, "partial": 1, "clean": 3, "too_short": 1, "common_phrases": 1}
    assert list(sets) == ["quiz", "held_out"]


def test_the_documents_are_named_and_the_spans_hold_the_item(leaky: Path) -> None:
    lines = lines_of(leaky / "out/decontamination/quiz.jsonl")
    for line, ids, text in ((lines[0], ["whole", "again"], WHOLE), (lines[2], ["part"], " ".join(HALF.split()[:14]))):
        assert [document["id"] for document in line["documents"]] == ids
        for document in line["documents"]:
            ((start, end),) = document["spans"]
            in_document = LEAKY[document["id"]].encode()[start:end].decode()
            assert " ".join(in_document.lower().split()) == text
            assert in_document[:50] in document["excerpt"]
            assert document["removed"] == (line is lines[0]) and document["file"] == "docs.jsonl"


def test_the_evidence_shows_the_item_beside_the_place_that_holds_it(leaky: Path) -> None:
    paths = (leaky / "out/removed/decontaminate").glob("*.parquet")
    rows = {row["id"]: row for path in paths for row in pq.read_table(path).to_pylist()}
    assert set(rows) == {"whole", "again"}
    for row in rows.values():
        assert row["test_item"] == "quiz#0" and row["test_snippet"] == WHOLE[:240]
        assert WHOLE[:100] in " ".join(row["snippet"].lower().split())


def test_evaluators_get_the_clean_records_as_they_are(leaky: Path) -> None:
    records = (leaky / "quiz.jsonl").read_bytes().split(b"\n\n")
    clean = leaky / "out/decontamination/clean"
    assert (clean / "quiz.jsonl").read_bytes() == b"".join(records[row] + b"\n" for row in (1, 3, 5))
    assert json.loads((clean / "quiz.rows.json").read_text()) == [1, 3, 5]
    assert {path.name for path in clean.iterdir()} == {"quiz.jsonl", "quiz.rows.json"}


def test_planted_copies_are_counted_by_kind(leaky: Path) -> None:
    planted = json.loads((leaky / "out/decontamination/summary.json").read_text())["planted"]
    sought = planted["verbatim"]["planted"]
    assert sought >= 5
    for kind in ("verbatim", "rewrapped", "recased", "repunctuated", "truncated"):
        assert planted[kind] == {"planted": sought, "found": sought}


def test_any_number_of_workers_writes_the_same(leaky: Path, config: Config, go: Go, tmp_path: Path) -> None:
    go(_tree(config, leaky, tmp_path / "out", workers=2))
    for path in (leaky / "out/decontamination").rglob("*"):
        if path.is_file():
            assert (tmp_path / "out" / path.relative_to(leaky / "out")).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("max_cuts", [1, 2])
def test_sentences_that_hold_an_item_are_cut_out_of_the_document(
    config: Config, go: Go, tmp_path: Path, decoded: Any, max_cuts: int
) -> None:
    """Two test items in one document are two pieces; one that is nothing else goes as a whole."""
    kept = ["Héllo there, this stays.\n\n", f"It stays (too)!{chr(10)}And {prose(9, 80)}.\n\n", "The end of it."]
    other = str(ITEMS[1]["question"])
    twice = f"{kept[0]}Well: {WHOLE.upper()}? {kept[1]}{other}.\n\n{kept[2]}"
    once = f"{prose(5)}. So {WHOLE}. {prose(6)}."
    records = [{"id": f"plain{number}", "text": prose(100 + number)} for number in range(60)]
    records += [{"id": "twice", "text": twice}, {"id": "once", "text": once}, {"id": "alone", "text": f"Q: {WHOLE}"}]
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (tmp_path / "quiz.jsonl").write_text("".join(json.dumps(item) + "\n" for item in ITEMS))
    go(_tree(config, tmp_path, tmp_path / "out", action="cut", max_cuts=max_cuts))
    texts = [text for of_source in decoded(tmp_path / "out")["train"].values() for text in of_source]
    assert f"{prose(5)}. {prose(6)}." in texts
    assert ("".join(kept) in texts) == (max_cuts == 2)
    assert not any(WHOLE in text.lower() or other in text for text in texts)
    paths = (tmp_path / "out/removed/decontaminate").glob("*.parquet")
    rows = [row for path in paths for row in pq.read_table(path).to_pylist()]
    whole = {row["id"] for row in rows if row["reason"] == "contaminated"}
    assert whole == {"alone"} if max_cuts == 2 else {"alone", "twice"}
    pieces = [row for row in rows if row["reason"] == "contaminated_sentences"]
    assert len(pieces) == (3 if max_cuts == 2 else 1)
    by_id = {str(record["id"]): str(record["text"]).encode() for record in records}
    for row in pieces:
        assert by_id[row["id"]][row["start"] : row["stop"]].decode().startswith(row["snippet"])
        assert row["test_snippet"] in (WHOLE[:240], other[:240])
    line = lines_of(tmp_path / "out/decontamination/quiz.jsonl")[0]
    assert {document["id"]: document["removed"] for document in line["documents"]}["alone"]
    assert {document["id"]: document["cut"] for document in line["documents"]}["once"]


def test_a_cut_that_would_bring_an_item_together_takes_the_document(config: Config, go: Go, tmp_path: Path) -> None:
    """Two halves of an item, each too short to be found, stand around another item."""
    halves = [prose(70, 12), prose(71, 12)]
    items = [{"question": WHOLE}, {"question": " ".join(halves)}]
    texts = {
        "meet": f"{prose(8)}. {halves[0]}. {WHOLE}. {halves[1]}.",
        "apart": f"{prose(9)}. {halves[0]}. {WHOLE}. So {halves[1]}.",
    }
    records = [{"id": f"plain{number}", "text": prose(100 + number)} for number in range(60)]
    records += [{"id": name, "text": text} for name, text in texts.items()]
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (tmp_path / "quiz.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    go(_tree(config, tmp_path, tmp_path / "out", action="cut"))
    paths = (tmp_path / "out/removed/decontaminate").glob("*.parquet")
    reasons = {row["id"]: row["reason"] for path in paths for row in pq.read_table(path).to_pylist()}
    assert reasons == {"meet": "contaminated", "apart": "contaminated_sentences"}


@pytest.mark.parametrize(("min_left_frac", "stay"), [(0.5, {"half"}), (0.0, {"half", "scrap"})])
def test_a_document_that_is_mostly_a_test_item_goes_as_a_whole(
    config: Config, go: Go, tmp_path: Path, decoded: Any, min_left_frac: float, stay: set[str]
) -> None:
    """Of two documents as many bytes as are cut are left, and one less; of a third white space."""
    item = f"Q: {WHOLE}. "
    left = "é" + "b" * (len(item) - 2)
    texts = {"half": f"{item}{left}", "scrap": f"{item}{left[:-1]}", "empty": f"{item}\n\n \n"}
    records = [{"id": f"plain{number}", "text": prose(100 + number)} for number in range(60)]
    records += [{"id": name, "text": text} for name, text in texts.items()]
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (tmp_path / "quiz.jsonl").write_text(json.dumps(ITEMS[0]) + "\n")
    changes = {"action": "cut", "min_left_frac": min_left_frac}
    go(_tree(config, tmp_path, tmp_path / "out", **changes))
    paths = (tmp_path / "out/removed/decontaminate").glob("*.parquet")
    reasons = {row["id"]: row["reason"] for path in paths for row in pq.read_table(path).to_pylist()}
    assert set(reasons) == set(texts)
    assert {name for name, reason in reasons.items() if reason == "contaminated_sentences"} == stay
    trained = [text for of_source in decoded(tmp_path / "out")["train"].values() for text in of_source]
    assert (left in trained, left[:-1] in trained) == (True, "scrap" in stay)


def test_a_file_that_is_gone_is_made_again(leaky: Path, config: Config, go: Go) -> None:
    path = leaky / "out/decontamination/clean/quiz.jsonl"
    before = path.read_bytes()
    path.unlink()
    result = go(_tree(config, leaky, leaky / "out"))
    assert [stage.name for stage in result.stages if stage.redone] == ["decontaminate"]
    assert path.read_bytes() == before


def test_the_warning_names_the_set_whose_items_are_common(
    leaky: Path, config: Config, go: Go, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    go(_tree(config, leaky, tmp_path / "out"))
    printed = capsys.readouterr().err
    assert "warning: decontaminate: 1 of the 7 items of 'quiz' are common phrases" in printed
    assert "'held_out' are common" not in printed
    go(_tree(config, leaky, tmp_path / "out", max_document_frequency=5))
    assert "common phrases:" not in capsys.readouterr().err


def removed_ids(out: Path) -> set[str]:
    paths = (out / "removed/decontaminate").glob("*.parquet")
    return {row["id"] for path in paths for row in pq.read_table(path).to_pylist()}


def test_the_order_of_the_input_files_changes_no_verdict(config: Config, go: Go, tmp_path: Path) -> None:
    """Nothing is held out by chance: the split goes by a document's key, which the order of the files is part of."""
    halves = [dict(list(LEAKY.items())[at::2]) for at in range(2)]
    found = []
    for order in (("a", "b"), ("b", "a")):
        folder = tmp_path / "".join(order)
        folder.mkdir()
        for name, leaks, shift in zip(order, halves, (0, 200), strict=True):
            records = [{"id": f"plain{at}", "text": prose(100 + shift + at)} for at in range(30)]
            records += [{"id": key, "text": text} for key, text in leaks.items()]
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
        (folder / "quiz.jsonl").write_text("".join(json.dumps(item) + "\n" for item in ITEMS))
        corpus = {"_target_": "data_pipeline.sources.jsonl.Jsonl", "paths": [str(folder / "[ab].jsonl")]}
        tree = _tree(config, folder, folder / "out", max_document_frequency=100)
        go(tree | {"corpus": corpus, "mix": tree["mix"] | {"held_out_frac": 0.01}})
        held_out = {line["item"] for line in lines_of(folder / "out/decontamination/held_out.jsonl")}
        found.append((removed_ids(folder / "out"), held_out))
    leaks = {name for name in LEAKY if name != "part"}
    assert found[0][0] | (found[0][1] & leaks) == leaks == found[1][0] | (found[1][1] & leaks)


def _hard(folder: Path) -> None:
    """Write documents to cut: letters apart (the kernel gives these up), two items in one, partitions of such alone."""
    apart = [f"e\u0301te\u0301. {prose(200 + at)}. So {WHOLE}. {prose(300 + at)}." for at in range(30)]
    twice = f"{prose(7)}. {WHOLE}. {prose(8)}. {ITEMS[1]['question']}. {prose(9)}."
    texts = [*(prose(100 + at) for at in range(60)), *apart, twice, f"Q: {WHOLE}"]
    lines = [json.dumps({"id": str(at), "text": text}) for at, text in enumerate(texts)]
    (folder / "docs.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "quiz.jsonl").write_text("".join(json.dumps(item) + "\n" for item in ITEMS))


def test_cuts_are_the_same_bytes_with_any_number_of_workers_even_where_the_kernel_gives_all_up(
    config: Config, go: Go, tmp_path: Path, output_hashes: Callable[[Path], dict[str, str]], decoded: Any
) -> None:
    _hard(tmp_path)
    outs = [tmp_path / f"out{workers}" for workers in (1, 2)]
    for out, workers in zip(outs, (1, 2), strict=True):
        go(_tree(config, tmp_path, out, workers, action="cut", max_document_frequency=100) | {"name": "same"})
    first, second = map(output_hashes, outs)
    assert first == second
    assert any(name.startswith("removed/decontaminate") for name in first)
    texts = [text for split in decoded(outs[0]).values() for of_source in split.values() for text in of_source]
    trained = [text for of_source in decoded(outs[0])["train"].values() for text in of_source]
    assert not any(WHOLE in text for text in trained)
    assert sum(text.startswith("e\u0301te\u0301. ") or text.startswith("\u00e9t\u00e9. ") for text in texts) == 30
