"""Copies go to the training shards behind their source's documents, the books name them, and nothing else changes."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.augment.copies import COPY
from data_pipeline.documents import COPY_SHIFT
from data_pipeline.pipeline import Result
from data_pipeline.storage import read_batch
from foundation.files import read_json

Config = Callable[..., dict[str, Any]]
Go = Callable[..., Result]
Redone = Callable[[Result], list[str]]
Hashes = Callable[[Path], dict[str, str]]
NOISE = {"_target_": "data_pipeline.augment.noise.Noise", "frac": 0.3, "copies": 2, "swap_rate": 0.05}
SWAPS = {"_target_": "data_pipeline.augment.swaps.Swaps", "words": {"ban": "bon"}, "frac": 1.0}
SEVERAL = {
    "_target_": "data_pipeline.augment.augmentation.Several",
    "kinds": {"typos": NOISE, "words": SWAPS},
}
UNKNOWN = SWAPS | {"words": {"nobody": "knows"}}


@pytest.fixture(scope="module")
def augmented(
    made: Any, finished: Path, config: Config, go: Go, redone: Redone, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The finished folder, run on with copies."""
    out = Path(shutil.copytree(finished, tmp_path_factory.mktemp("augmented") / "out"))
    assert redone(go(config(made.folder, out, augment=SEVERAL))) == ["augment", "tokenizer", "shards"]
    return out


def copies_in(out: Path) -> list[dict[str, Any]]:
    """Return the copies as they are stored, in the order of the shards."""
    partitions = read_json(out / "work" / "augment" / "stage.json")["facts"]["facts"]["partitions"]
    batches = [
        read_batch(out / "work" / "augment" / f"{each['name']}.arrow", each["batch_hash"]) for each in partitions
    ]
    return [
        row | {"source": each["source"]}
        for each, batch in zip(partitions, batches, strict=True)
        for row in batch.to_pylist()
    ]


def test_shards_hold_the_documents_and_among_them_their_copies(finished: Path, augmented: Path, decoded: Any) -> None:
    before, after = decoded(finished), decoded(augmented)
    assert after["val"] == before["val"]
    copies = copies_in(augmented)
    for source, texts in before["train"].items():
        its = [row["text"] for row in copies if row["source"] == source]
        assert Counter(after["train"][source]) == Counter(texts + its) and len(its) > 20
        assert [text for text in after["train"][source] if text not in set(its)] == texts  # they move no other one
    held_out = {text for texts in before["val"].values() for text in texts}
    originals = {text for texts in before["train"].values() for text in texts}
    assert not held_out & {row["text"] for row in copies} and not originals & {row["text"] for row in copies}


def test_the_books_name_what_was_created(augmented: Path, finished: Path) -> None:
    ledger, before = read_json(augmented / "ledger.json"), read_json(finished / "ledger.json")
    copies = copies_in(augmented)
    for source, account in ledger["stages"]["augment"].items():
        its = [row for row in copies if row["source"] == source]
        assert account["created"] == {name: sum(f"#{name}-" in row["id"] for row in its) for name in ("typos", "words")}
        assert account["in"] + len(its) == account["out"] == ledger["stages"]["shards"][source]["out"]
        assert account["fingerprint_created"] != "0" * 32
        off = before["stages"]["augment"][source]
        assert off["created"] == {} and off["in"] == off["out"] == account["in"]
        assert off["fingerprint_out"] == account["fingerprint_in"]
    words = [row for row in copies if "#words-" in row["id"]]
    training = sum(account["in"] for account in ledger["stages"]["augment"].values())
    held_out = sum(source["documents"] for source in read_json(augmented / "manifest.json")["splits"]["val"].values())
    assert ledger["counts"]["augment"] == {"copies_unchanged": training - held_out - len(words)}
    assert "augment" not in before["counts"]


def test_a_copy_leads_back_to_its_document(made: Any, augmented: Path) -> None:
    copies = copies_in(augmented)
    assert len({(row["file"], row["row"]) for row in copies}) == len(copies)
    texts = {line["id"]: line["text"] for line in lines_of(made.folder / "books" / "d.jsonl")}
    for row in (row for row in copies if row["source"] == "books"):
        copy = json.loads(row["metadata"])[COPY]
        assert row["id"] == f"{copy['id']}#{copy['change']}-{copy['copy']}"
        assert copy["id"] == f"d.jsonl-{row['row'] & (1 << COPY_SHIFT) - 1}" and row["file"] == 0
        assert row["row"] >> COPY_SHIFT == (3 if copy["change"] == "words" else copy["copy"])  # by name, then number
        assert json.loads(row["metadata"])["page"] == row["row"] & (1 << COPY_SHIFT) - 1  # the record's own
        if copy["change"] == "words":
            swapped = {"ban": "bon", "bon": "ban"}
            words = texts[copy["id"]].split(" ")
            assert row["text"] == " ".join(swapped.get(word, word) for word in words)


def lines_of(path: Path) -> list[dict[str, Any]]:
    found = []
    for line in path.read_bytes().splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


@pytest.mark.slow
def test_the_same_bytes_by_two_workers_and_with_the_files_listed_backwards(
    made: Any, augmented: Path, config: Config, go: Go, output_hashes: Hashes, tmp_path: Path
) -> None:
    tree = config(made.folder, tmp_path / "out", augment=SEVERAL, executor__workers=2)
    for name, source in tree["corpus"]["sources"].items():
        source["paths"] = sorted(map(str, (made.folder / name).iterdir()), reverse=True)
    go(tree)
    assert output_hashes(tmp_path / "out") == output_hashes(augmented)


def test_a_file_more_changes_no_copy_of_the_others(
    inputs: Path, augmented: Path, config: Config, go: Go, tmp_path: Path
) -> None:
    """Its documents have other keys by then; those that it holds out in place of others are left out here."""
    (inputs / "books" / "a.jsonl").write_text(json.dumps({"text": "one more document, of a ban"}) + "\n")
    given = {"_target_": "data_pipeline.tokenize.given.TokenizerFile", "path": str(augmented / "tokenizer.json")}
    go(config(inputs, tmp_path / "out", augment=SEVERAL, tokenizer=given))
    one, other = ({row["id"]: row["text"] for row in copies_in(out)} for out in (augmented, tmp_path / "out"))
    both = one.keys() & other.keys()
    assert {name: one[name] for name in both} == {name: other[name] for name in both} and len(both) > len(one) / 2


def test_copies_that_come_out_as_none_redo_nothing_and_the_page_says_nothing_of_them(
    made: Any, out: Path, config: Config, go: Go, redone: Redone, output_hashes: Hashes
) -> None:
    before = output_hashes(out)
    result = go(config(made.folder, out, augment=UNKNOWN))
    assert redone(result) == ["augment"]
    after = output_hashes(out)
    assert {name for name in after if after[name] != before[name]} == {"ledger.json"}  # what came out unchanged
    assert "Changed copies" not in result.report.read_text() and "What was added" not in result.report.read_text()
    assert result.stages[8].facts["note"].endswith(" more came out unchanged")


def test_the_page_shows_the_copies_and_how_many_there_are(augmented: Path) -> None:
    page = (augmented / "report.html").read_text()
    created = sum(
        sum(account["created"].values())
        for account in read_json(augmented / "ledger.json")["stages"]["augment"].values()
    )
    assert f"kept and {created:,} changed copies added, as" in page
    for said in ("What was added", "Changed copies", "augmentation", "copies unchanged", "Copies added"):
        assert said in page, said


def test_off_it_writes_nothing_and_costs_the_later_stages_nothing(
    made: Any, finished: Path, out: Path, config: Config, go: Go, redone: Redone
) -> None:
    assert [path.name for path in (finished / "work" / "augment").iterdir()] == ["stage.json"]
    none = {"_target_": "data_pipeline.augment.augmentation.Several", "kinds": {"words": UNKNOWN}}
    assert redone(go(config(made.folder, out, augment=none))) == ["augment"]
    assert redone(go(config(made.folder, out))) == ["augment"]


def test_a_changed_table_makes_the_copies_again(
    made: Any, out: Path, config: Config, go: Go, redone: Redone, tmp_path: Path
) -> None:
    table = tmp_path / "words.tsv"
    table.write_text("ban\tbon\n")
    tree = config(made.folder, out, augment=SWAPS | {"words": None, "path": str(table)})
    assert redone(go(tree)) == ["augment", "tokenizer", "shards"]
    assert redone(go(tree)) == []
    before = [row["id"] for row in copies_in(out)], [row["text"] for row in copies_in(out)]
    table.write_text("ban\tknown\n")
    assert redone(go(tree)) == ["augment", "tokenizer", "shards"]
    after = [row["id"] for row in copies_in(out)], [row["text"] for row in copies_in(out)]
    assert after != before and all(" known " in f" {text} " for text in after[1])
