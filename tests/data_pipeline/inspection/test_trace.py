"""From any token to the document that it came from, by the table beside the shard, by the work folder, or by both."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest

from data_pipeline.inspection.told import lines_of
from data_pipeline.inspection.trace import trace
from data_pipeline.inspection.work import CUTTING, DECIDING
from data_pipeline.pipeline import Result
from data_pipeline.shards.errors import DamagedShard
from data_pipeline.shards.manifest import DOCUMENTS, Manifest
from data_pipeline.shards.reader import open_split
from data_pipeline.shards.writer import SourceWriter
from data_pipeline.storage import REMOVED_SCHEMA
from foundation.files import pretty_json
from tests.data_pipeline.all_stages import ALL

Origins = dict[str, dict[str, list[tuple[str, int, str]]]]
Starts = Callable[..., list[int]]


def told(found: dict[str, Any]) -> str:
    return "\n".join(lines_of(found))


def from_of(found: dict[str, Any]) -> tuple[str, int, str]:
    document = found["document"]
    return document["file"], document["row"], document["id"]


def test_the_stages_are_the_pipelines(finished: Path) -> None:
    assert [stage for stage in ALL if (finished / "work" / stage / "decision.npz").is_file()] == list(DECIDING)
    assert [stage for stage in DECIDING if stage in CUTTING] == list(CUTTING)


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("source", ["web", "books"])
def test_the_work_folder_alone_knows_every_document(
    finished: Path, origins: Origins, starts: Starts, split: str, source: str
) -> None:
    documents = origins[split][source]
    chosen = np.random.default_rng(3).choice(len(documents), min(6, len(documents)), replace=False)
    for number in sorted({0, len(documents) - 1, *chosen.tolist()}):
        found = trace(finished, f"{split}/{source}:{starts(split, source)[number]}")
        assert from_of(found) == documents[number] and found["unknown"] == []
        assert found["document"]["number_in_source"] == number and found["document"]["token_in_document"] == 0
        assert found["stages"]["split"] == {"held_out": split == "val"}


def test_the_table_alone_knows_every_document_and_says_what_it_does_not(
    bare: Path, origins: Origins, starts: Starts, write_tables: Callable[..., None]
) -> None:
    write_tables(bare, origins)
    for number, begin in list(enumerate(starts("train", "web")))[::20]:
        found = trace(bare, f"train/web:{begin + 1}")
        assert from_of(found) == origins["train"]["web"][number]
        assert found["stages"] == {"split": {"held_out": False}}
        assert f"unknown        what the stages measured and changed: {bare}/work is gone" in told(found)
        assert f"what was removed in favour of this document: {bare}/removed is gone" in told(found)


def test_without_both_the_token_is_shown_and_the_rest_is_unknown(bare: Path) -> None:
    found = trace(bare, "train/web_00000:5")
    assert "file" not in found["document"] and found["stages"] == {}
    assert found["unknown"] == [
        f"what the stages measured and changed: {bare}/work is gone",
        f"where the document comes from: web_00000{DOCUMENTS} is missing, which names the documents of this shard",
    ]


@pytest.mark.parametrize("damage", ["cut", "rows", "other"])
def test_a_table_that_is_not_the_shards_is_not_believed(
    bare: Path, origins: Origins, write_tables: Callable[..., None], damage: str
) -> None:
    write_tables(bare, origins)
    path = bare / "shards" / "train" / f"web_00000{DOCUMENTS}"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-9])
    elif damage == "rows":
        pq.write_table(pq.read_table(path).slice(1), path)
    else:
        path.write_bytes(b"PAR1")
    found = trace(bare, "train/web_00000:5")
    assert "file" not in found["document"]
    assert any(line.startswith("where the document comes from") and "web_00000" in line for line in found["unknown"])


def test_a_table_and_a_work_folder_that_differ_are_told(
    untabled: Path, origins: Origins, write_tables: Callable[..., None]
) -> None:
    turned = {split: {name: rows[1:] + rows[:1] for name, rows in of.items()} for split, of in origins.items()}
    write_tables(untabled, turned)
    found = trace(untabled, "train/web:0")
    assert from_of(found) == turned["train"]["web"][0]
    assert any("work: is of another run: its document here has another text" in line for line in found["unknown"])
    file, row, identifier = origins["train"]["web"][0]
    write_tables(untabled, {"train": {"web": [(file, row + 1, identifier), *origins["train"]["web"][1:]]}})
    assert any(f"has no document {identifier} of" in line for line in trace(untabled, "train/web:0")["unknown"])


def test_shuffled_shards_are_traced_by_their_table(
    untabled: Path, origins: Origins, write_tables: Callable[..., None], starts: Starts
) -> None:
    manifest = Manifest.load(untabled)
    held, prefix = manifest.splits["train"]["books"], untabled / "shards" / "train"
    stream, firsts = open_split(untabled, manifest, "train")["books"], [*starts("train", "books"), held.tokens]
    order = np.random.default_rng(4).permutation(held.documents).tolist()
    pieces = [np.array(stream.tokens(firsts[number], firsts[number + 1])) for number in order]
    lengths = np.array([len(piece) for piece in pieces], np.int32)
    with SourceWriter(prefix, "books", np.dtype("uint16"), 1 << 16) as writer:
        writer.add(np.concatenate(pieces), lengths)
        manifest.splits["train"]["books"] = replace(held, shards=writer.finish())
    manifest.save(untabled)
    without = trace(untabled, "train/books:0")["unknown"]
    assert any("another order, without books_00000.documents.parquet" in line for line in without)
    rows = [origins["train"]["books"][number] for number in order]
    write_tables(untabled, {"train": {"books": rows}})
    for number, begin in enumerate(np.cumsum([0, *lengths[:-1]]).tolist()):
        found = trace(untabled, f"train/books:{begin}")
        assert from_of(found) == rows[number] and found["unknown"] == [] and "filter" in found["stages"]


def test_a_work_folder_of_another_run_is_not_believed(finished: Path, bare: Path) -> None:
    shutil.copytree(finished / "work", bare / "work")
    manifest = Manifest.load(bare)
    train = manifest.splits["train"]
    train["web"], train["books"] = train["books"], train["web"]
    manifest.save(bare)
    assert any("is of another run" in line for line in trace(bare, "train/web:5")["unknown"])


def test_what_a_document_was_kept_for_is_named(
    finished: Path, made: Any, origins: Origins, starts: Starts, ids_by_text: dict[str, str]
) -> None:
    rows = [
        row for path in (finished / "removed" / "near").glob("*.parquet") for row in pq.read_table(path).to_pylist()
    ]
    training = {
        origin[2]: (source, number) for source, of in origins["train"].items() for number, origin in enumerate(of)
    }
    kept = [row for row in rows if row["kept_id"] in training]
    assert len(kept) > 3
    for row in kept[:3]:
        source, number = training[row["kept_id"]]
        found = trace(finished, f"train/{source}:{starts('train', source)[number] + 2}")
        near = found["stages"]["near"]
        replaced = [each for each in near["replaced"] if each["id"] == row["id"]]
        assert len(replaced) == 1 and made.copies[row["id"]] == "near_duplicate"
        assert replaced[0]["similarity"] == row["similarity"]
        assert (near["cluster"], near["cluster_documents"]) == (row["cluster"], 1 + len(near["replaced"]))
        assert f"kept for {row['id']} ({row['file']}, row {row['row']})" in told(found)


def test_scores_stand_beside_the_limits_that_they_kept(
    go: Callable[..., Result], config: Callable[..., dict[str, Any]], made: Any, tmp_path: Path, starts: Starts
) -> None:
    rules = {
        "unicode": {"_target_": "data_pipeline.clean.unicode.Unicode"},
        "length": {"_target_": "data_pipeline.clean.length.Length", "min_chars": 7, "min_words": 3},
    }
    clean = {"_target_": "data_pipeline.clean.rules.Rules", "rules": rules}
    inputs = Path(shutil.copytree(made.folder, tmp_path / "inputs"))
    path = inputs / "books" / "d.jsonl"
    lines = path.read_bytes().splitlines()
    record = orjson.loads(lines[0])
    record["text"] = f"na\u0069\u0308ve {record['text']}\u0007"
    path.write_bytes(b"\n".join([orjson.dumps(record), *lines[1:]]) + b"\n")
    go(config(inputs, tmp_path / "out", clean=clean, mix__held_out_frac=0.02, executor__workers=1))
    begins = starts("train", "books", tmp_path / "out")
    traced = (trace(tmp_path / "out", f"train/books:{begin}") for begin in begins)
    found = next(each for each in traced if each["document"]["id"] == "d.jsonl-0")
    assert found["unknown"] == []
    text = record["text"].replace("i\u0308", "ï").replace("\u0007", "")
    scores = found["stages"]["filter"]["scores"]
    assert scores["chars"] == {"value": len(text), "least": 7}
    assert scores["words"] == {"value": len(text.split()), "least": 3}
    first, second = found["stages"]["clean"]["rules"]
    assert (first["rule"], second["rule"]) == ("unicode", "length")
    assert (first["bytes_before"], first["bytes_after"]) == (len(record["text"].encode()), len(text.encode()))
    assert first["changes"] and not second["changes"]
    assert f"unicode: {first['bytes_before']:,} to {first['bytes_after']:,} bytes" in told(found)
    path.write_bytes(b"\n".join(lines) + b"\n")
    assert "not what it was" in trace(tmp_path / "out", found["position"])["unknown"][0]
    path.unlink()
    gone = trace(tmp_path / "out", found["position"])
    assert gone["unknown"][0].startswith("how cleaning changed this document: corpus.paths: ")
    assert gone["stages"]["filter"] == found["stages"]["filter"]


def test_what_was_cut_out_is_shown(
    go: Callable[..., Result], config: Callable[..., dict[str, Any]], made: Any, tmp_path: Path
) -> None:
    inputs = Path(shutil.copytree(made.folder, tmp_path / "inputs"))
    before, after = (" ".join(f"{word}{number}" for number in range(60)) for word in ("one", "two"))
    question = orjson.loads((inputs / "test.jsonl").read_bytes())["question"]
    with (inputs / "books" / "d.jsonl").open("ab") as file:
        text = f"It begins {before}. So {question}. It ends {after}."
        file.write(orjson.dumps({"id": "d.jsonl-60", "text": text}) + b"\n")
    go(config(inputs, tmp_path / "out", decontaminate__action="cut", mix__held_out_frac=0.02))
    cut = [
        row
        for path in (tmp_path / "out" / "removed" / "decontaminate").glob("*.parquet")
        for row in pq.read_table(path, columns=REMOVED_SCHEMA.names).to_pylist()
        if row["start"] is not None
    ]
    assert {row["id"] for row in cut} == {"d.jsonl-60"}
    manifest = Manifest.load(tmp_path / "out")
    token, seen = 0, False
    while not seen:
        found = trace(tmp_path / "out", f"train/books:{token}")
        token, stage = token + found["document"]["tokens"], found["stages"]["decontaminate"]
        seen = found["document"]["id"] == "d.jsonl-60"
        assert bool(stage["cut"]) == bool(stage["bytes_cut"]) == seen
    assert token <= manifest.splits["train"]["books"].tokens
    assert stage["bytes_cut"] == sum(row["stop"] - row["start"] for row in cut)
    assert f"So {question[:60]}" in told(found)


def test_a_copy_leads_to_its_document(
    go: Callable[..., Result], config: Callable[..., dict[str, Any]], made: Any, tmp_path: Path
) -> None:
    augment = {"_target_": "data_pipeline.augment.noise.Noise", "frac": 1.0}
    result = go(config(made.folder, tmp_path / "out", augment=augment))
    last = result.manifest.splits["train"]["web"].tokens - 1
    found = trace(tmp_path / "out", f"train/web:{last}")
    parent, _, name = found["document"]["id"].partition("#")
    assert name == "noise-1" and parent == f"{found['document']['file']}-{found['document']['row']}"
    assert found["stages"]["augment"]["copy"] == 1 and "copy 1 of the document in this row" in told(found)
    assert found["document"]["copy_of"] == parent and f"copy of    {parent}, of which the stages tell" in told(found)
    assert found["unknown"] == []


def folder_with_copies(
    go: Callable[..., Result], config: Callable[..., dict[str, Any]], inputs: Path, out: Path
) -> dict[str, dict[str, Any]]:
    """Cut the question out of a document of books, copy all documents; return id -> trace of books and their copies."""
    before, after = (" ".join(f"{word}{number}" for number in range(60)) for word in ("one", "two"))
    question = orjson.loads((inputs / "test.jsonl").read_bytes())["question"]
    with (inputs / "books" / "d.jsonl").open("ab") as file:
        text = f"It begins {before}. So {question}. It ends {after}."
        file.write(orjson.dumps({"id": "d.jsonl-60", "text": text}) + b"\n")
    augment = {"_target_": "data_pipeline.augment.noise.Noise", "frac": 1.0}
    shards = {"_target_": "data_pipeline.shards.writer.Sharder", "shuffle": False}
    changes = {"decontaminate__action": "cut", "mix__held_out_frac": 0.02, "augment": augment, "shards": shards}
    held = go(config(inputs, out, **changes)).manifest.splits["train"]["books"]
    return traces(out, held.tokens)


def traces(folder: Path, tokens: int) -> dict[str, dict[str, Any]]:
    found, token = {}, 0
    while token < tokens:
        each = trace(folder, f"train/books:{token}")
        found[each["document"]["id"]] = each
        token += each["document"]["tokens"]
    return found


def traced_again(folder: Path, found: dict[str, dict[str, Any]], names: set[str]) -> dict[str, dict[str, Any]]:
    """Trace some documents again, whose places follow from the lengths of all."""
    again, token = {}, 0
    for name, each in found.items():
        if name in names:
            again[name] = trace(folder, f"train/books:{token}")
        token += each["document"]["tokens"]
    return again


def test_what_was_done_to_a_document_is_told_of_its_copies_and_what_is_missing_is_unknown(
    go: Callable[..., Result], config: Callable[..., dict[str, Any]], inputs: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    found = folder_with_copies(go, config, inputs, out)
    originals = [name for name in found if f"{name}#noise-1" in found]
    replacing = [name for name in originals if found[name]["stages"]["near"]["replaced"]]
    assert len(originals) > 20 and len(replacing) > 0 and "d.jsonl-60" in originals
    for name in originals:
        copy, stages = found[f"{name}#noise-1"], found[name]["stages"]
        assert copy["stages"] == stages | {"augment": copy["stages"]["augment"]} and copy["unknown"] == []
    cut = found["d.jsonl-60#noise-1"]["stages"]["decontaminate"]["bytes_cut"]
    assert cut > 0 and f"decontaminate  {cut:,} bytes cut out of it" in told(found["d.jsonl-60#noise-1"])
    few = [*originals[:3], *replacing[:3], "d.jsonl-60"]
    names = {*few, *(f"{name}#noise-1" for name in few)}

    shutil.move(out / "work", tmp_path / "work")  # the ids alone say which are copies
    bare = traced_again(out, found, names)
    for name in few:
        copy = bare[f"{name}#noise-1"]
        assert copy["stages"]["near"] == bare[name]["stages"]["near"] and "copy_of" not in copy["document"]
        assert f"whether this is a copy of {name}, as its id reads: {out}/work does not say" in told(copy)
    shutil.move(tmp_path / "work", out / "work")

    shutil.rmtree(out / "removed" / "decontaminate")
    (out / "removed" / "near" / "00000-00000.parquet").unlink()
    shutil.rmtree(out / "removed" / "exact")
    shutil.rmtree(out / "clusters")
    for name, each in traced_again(out, found, names).items():
        of = "d.jsonl-60" in name
        lines = told(each)
        assert each["stages"]["decontaminate"] == {"cut": [], "bytes_cut": cut if of else 0}
        unknown = f"which {cut:,} bytes decontaminate cut out of this document: its tables tell of 0: {out}/removed/"
        assert (unknown in lines) == of and ("bytes decontaminate cut" in lines) == of
        assert not of or f"decontaminate  {cut:,} bytes cut out of it" in lines
        assert each["stages"]["exact"] == {} and "no other document was removed" not in lines
        assert "what exact removed in favour of this document: " in lines
        assert "what near removed in favour of this document: " in lines
        assert "removed/near/00000-00000.parquet is missing" in lines
        assert "the cluster of near-duplicates that this document is in: " in lines


def test_without_a_work_folder_a_stage_without_a_table_is_unknown(out: Path) -> None:
    shutil.rmtree(out / "work")
    shutil.rmtree(out / "removed" / "exact")
    lines = told(trace(out, "train/books:0"))
    where = f"{out}/removed/{{}} has no table, and no work folder says whether it should have one"
    assert f"what exact removed in favour of this document: {where.format('exact')}" in lines
    assert f"what paragraphs cut out of this document: {where.format('paragraphs')}" in lines
    assert "what near removed" not in lines and "what decontaminate cut" not in lines


def test_documents_in_groups_are_found_too(
    go: Callable[..., Result],
    config: Callable[..., dict[str, Any]],
    made: Any,
    tmp_path: Path,
    decoded: Callable[[Path], dict[str, dict[str, list[str]]]],
    ids_by_text: dict[str, str],
) -> None:
    weights = {"1": 1.0, "2": 1.0, "5": 2.0, "other": 1.0}
    changes = {"mix__group_by": "page", "mix__group_weights": weights, "mix__held_out_frac": 0.02}
    result = go(config(made.folder, tmp_path / "out", **changes))
    texts = decoded(tmp_path / "out")["train"]
    assert len(texts) > 4
    for source, held in result.manifest.splits["train"].items():
        token = 0
        for text in texts.get(source, [])[:3]:
            found = trace(tmp_path / "out", f"train/{source}:{token}")
            assert found["document"]["id"] == ids_by_text[text] and found["unknown"] == []
            token += found["document"]["tokens"]
        assert token <= held.tokens


def test_damaged_tokens_are_not_traced(out: Path) -> None:
    path = out / "shards" / "train" / "web_00000.bin"
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedShard, match=r"web_00000\.bin: block 0"):
        trace(out, "train/web_00000:5")


def test_it_is_json_with_every_key_that_is_promised(finished: Path) -> None:
    found = orjson.loads(pretty_json(trace(finished, "train/web_00000:5")))
    for key in ("position", "split", "source", "shard", "token", "token_in_source", "token_id", "stages", "unknown"):
        assert f"`{key}`" in (trace.__doc__ or "") and key in found
    for key in found["document"]:
        assert f"`{key}`" in (trace.__doc__ or "")
