"""What the table of BPE training rests on: the documents, each side's tokens, and how they are compared."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import orjson
import pytest

TEXTS = [
    "the cat sat on the mat, the cat's mat\n" * 20,
    "another text, that is longer than the first\n" * 30,
    "東京 1234",
]


@pytest.fixture(scope="module")
def bpe(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("bpe")


@pytest.fixture(scope="module")
def sides(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("bpe_sides")


def test_no_document_is_taken_twice(bpe: ModuleType, tmp_path: Path) -> None:
    assert list(bpe.within(iter(TEXTS), 10)) == TEXTS[:1]
    assert list(bpe.within(iter(TEXTS), 10**9)) == TEXTS
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "one.py").write_text(TEXTS[0])
    (tmp_path / "folder" / "one.pyc").write_text("no text")
    (tmp_path / "some.jsonl").write_bytes(b"\n".join(orjson.dumps({"text": text}) for text in TEXTS[1:]))
    assert list(bpe.documents([tmp_path / "folder", tmp_path / "some.jsonl"])) == TEXTS


def test_the_files_hold_all_documents(bpe: ModuleType, sides: ModuleType, tmp_path: Path) -> None:
    num_bytes = bpe.write_tasks(TEXTS, tmp_path / "all")
    assert num_bytes == sum(len(text.encode()) for text in TEXTS)
    assert sorted(sides.texts_of(tmp_path / "all")) == sorted(TEXTS)
    assert len(sides.paths_of(tmp_path / "all")) == sides.FILES


def test_tokens_are_the_bytes_of_merges_in_order(sides: ModuleType) -> None:
    model = {"merges": [["Ġ", "t"], ["Ġt", "é"]]}
    assert sides.tokens_of(orjson.dumps({"model": model})) == [b" t".hex(), b" t\xe9".hex()]
    assert sides.tokens_of(orjson.dumps({"61": 0, "6162": 1})) == ["6162"]


def test_the_first_difference_is_named(bpe: ModuleType) -> None:
    assert bpe.first_difference(["61", "62"], ["61", "62"]) == "none"
    assert bpe.first_difference(["61", "62"], ["61", "63"]) == "2"
    assert bpe.first_difference(["61", "62"], ["61"]) == "2"


@pytest.mark.slow
@pytest.mark.parametrize("split", ["gpt2", "cl100k"])
def test_our_side_and_tokenizers_write_the_same_file(
    bpe: ModuleType, sides: ModuleType, split: str, tmp_path: Path
) -> None:
    bpe.write_tasks(TEXTS, tmp_path / "all")
    options = argparse.Namespace(vocab_size=275, peer_python=None)
    assert set(bpe.sides_of(split, options)) <= set(sides.SIDES)
    records = {
        side: {part: [bpe.run_side(side, split, tmp_path / "all", options)] for part in (bpe.ALL, bpe.TENTH)}
        for side in (bpe.OURS, bpe.REFERENCE)
    }
    files = [tmp_path / "all" / f"{side}_{split}" / "tokenizer.json" for side in records]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert all(
        record["whole_s"] > record["train_s"] > 0 and record["tree_mb"] > 1
        for side in records.values()
        for record in side[bpe.ALL]
    )
    rows = bpe.speed_table(records, {bpe.ALL: 10**6, bpe.TENTH: 10**5}).splitlines()
    assert [row.split("|")[1].strip() for row in rows[2:]] == [bpe.OURS, bpe.REFERENCE]
    last = bpe.agreement(tmp_path / "all", split, list(records)).splitlines()[-1]
    assert [cell.strip() for cell in last.split("|")[1:-1]] == [bpe.REFERENCE, "18", "18", "none"]


def test_gigatoken_writes_a_file_that_can_be_read(sides: ModuleType, bpe: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("gigatoken")
    bpe.write_tasks(TEXTS, tmp_path / "all")
    options = argparse.Namespace(vocab_size=275, peer_python=None)
    bpe.run_side("gigatoken", "gpt2", tmp_path / "all", options)
    assert len(orjson.loads(sides.tokens_path(tmp_path / "all", "gigatoken", "gpt2").read_bytes())) == 18
