"""A manifest is read as it was written; anything else is an error that names file and key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from data_pipeline.shards.errors import DamagedShard, ForeignTokenizer, ShardError
from data_pipeline.shards.health import Health
from data_pipeline.shards.manifest import Manifest, read_tokenizer


@pytest.fixture
def folder(make_folder: Callable[..., Path]) -> Path:
    return make_folder()


def test_is_read_as_it_was_written(folder: Path) -> None:
    written = (folder / "manifest.json").read_bytes()
    Manifest.load(folder).save(folder)
    assert (folder / "manifest.json").read_bytes() == written
    record = orjson.loads(written)
    assert record["splits"]["train"]["a"]["shards"][0]["name"] == "a_00000"
    assert record["vocab_size"] == 50_000


def test_a_budget_is_kept_and_none_leaves_no_trace(folder: Path) -> None:
    path = folder / "manifest.json"
    assert b"budget" not in path.read_bytes()
    record = orjson.loads(path.read_bytes())
    record["splits"]["train"]["a"]["budget"] = {"epochs": 2}
    del record["hash"]
    path.write_bytes(orjson.dumps(record))
    manifest = Manifest.load(folder)
    assert {name: source.budget for name, source in manifest.splits["train"].items()} == {
        "a": {"epochs": 2.0},
        "b": None,
    }
    manifest.save(folder)
    assert Manifest.load(folder) == manifest


def test_a_flipped_bit_anywhere_is_found(folder: Path) -> None:
    path = folder / "manifest.json"
    whole = path.read_bytes()
    for position in range(len(whole)):
        flipped = bytearray(whole)
        flipped[position] ^= 1 << position % 8
        path.write_bytes(flipped)
        with pytest.raises(ShardError, match=r"manifest\.json"):
            Manifest.load(folder)


def test_a_changed_weight_is_refused_and_said_where_it_is_set(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"weight": 1.0', b'"weight": 2.0', 1))
    with pytest.raises(DamagedShard, match=r"manifest\.json: changed after it was written.*data\.mixture="):
        Manifest.load(folder)


def test_a_cut_newline_is_found(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedShard, match=r"manifest\.json: changed after it was written"):
        Manifest.load(folder)


def test_one_of_before_there_was_a_hash_is_read(folder: Path) -> None:
    path = folder / "manifest.json"
    record, manifest = orjson.loads(path.read_bytes()), Manifest.load(folder)
    del record["hash"]
    path.write_bytes(orjson.dumps(record))
    assert Manifest.load(folder) == manifest
    path.write_bytes(orjson.dumps(record | {"hesh": "0" * 32}))
    with pytest.raises(ShardError, match=r"hesh: unknown key"):
        Manifest.load(folder)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format", 2, "format: 2 is not 1"),
        ("tokenizer_hash", "abc", "tokenizer_hash: 'abc' is not an xxh3-128"),
        ("vocab_size", 0, "vocab_size: 0 is not an integer of at least 1"),
        ("vocab_size", 1e4, "vocab_size: 10000.0 is not an integer"),
        ("vocab_size", True, "vocab_size: True is not an integer"),
        ("eot_id", 50_000, "eot_id: 50000 is not below vocab_size"),
        ("dtype", "int64", "dtype: 'int64' is not uint16 or int32"),
        ("splits", [], r"splits: \[\] is not an object"),
        ("splits.train", None, "splits.train: None is not an object"),
        ("splits.train.a.weight", "1", "splits.train.a.weight: '1' is not a number"),
        ("splits.train.a.weight", -1, "splits.train.a.weight: -1 is not a number of at least 0"),
        (
            "splits.train.a.budget",
            3e9,
            "splits.train.a.budget: 3000000000.0 is not one of tokens and epochs with a number",
        ),
        (
            "splits.train.a.budget",
            {"epochs": 0},
            r"splits.train.a.budget: \{'epochs': 0\} is not one of tokens and epochs",
        ),
        ("splits.train.a.tokens", 5, r"splits.train.a.tokens: 5 is not the sum over its shards \(\d+\)"),
        ("splits.train.a.documents", 301, r"splits.train.a.documents: 301 is not the sum over its shards \(300\)"),
        ("splits.train.a.shards", {}, r"splits.train.a.shards: \{\} is not a list"),
        ("splits.train.a.shards.1.num_tokens", "x", r"splits.train.a.shards\[1\].num_tokens: 'x' is not an integer"),
        ("splits.val.a.shards.0.name", "../a_00000", r"splits.val.a.shards\[0\].name: '../a_00000' is not a file name"),
        ("splits.val.a.shards.0.name", "/etc/x", "is not a file name without folder"),
        ("splits.val.a.shards.0.name", "..", "is not a file name without folder"),
        ("splits.val.a.shards.0.sum_hash", "G" * 32, r"shards\[0\].sum_hash: 'G+' is not an xxh3-128"),
    ],
)
def test_a_wrong_value_is_refused_by_key(folder: Path, key: str, value: Any, message: str) -> None:
    record = orjson.loads((folder / "manifest.json").read_bytes())
    parent, last = _parent(record, key)
    parent[last] = value
    (folder / "manifest.json").write_bytes(orjson.dumps(record))
    with pytest.raises(ShardError, match=message) as caught:
        Manifest.load(folder)
    assert str(folder / "manifest.json") in str(caught.value)


@pytest.mark.parametrize(
    "key", ["format", "dtype", "splits.val", "splits.train.b.utf8_bytes", "splits.train.a.shards.0.name"]
)
def test_a_missing_key_is_named(folder: Path, key: str) -> None:
    record = orjson.loads((folder / "manifest.json").read_bytes())
    parent, last = _parent(record, key)
    del parent[last]
    (folder / "manifest.json").write_bytes(orjson.dumps(record))
    with pytest.raises(ShardError, match="missing") as caught:
        Manifest.load(folder)
    assert f"manifest.json: {key.replace('.0', '[0]')}: missing" in str(caught.value)


def _parent(record: Any, key: str) -> tuple[Any, Any]:
    *path, last = [int(part) if part.isdigit() else part for part in key.split(".")]
    for part in path:
        record = record[part]
    return record, last


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_what_is_no_manifest_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(ShardError, match=r"manifest\.json"):
        Manifest.load(tmp_path)


def test_without_one_the_command_is_named(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(ShardError, match="python -m data_pipeline") as caught:
            Manifest.load(folder)
        assert str(folder) in str(caught.value)


@pytest.mark.bad_input(47)
def test_the_tokenizer_must_be_the_shards_own(folder: Path) -> None:
    manifest, path = Manifest.load(folder), folder / "tokenizer.json"
    assert read_tokenizer(folder, manifest) == path.read_bytes()
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ForeignTokenizer, match="a tokenizer that is not the shards' own") as caught:
        read_tokenizer(folder, manifest)
    assert manifest.tokenizer_hash in str(caught.value)
    path.unlink()
    with pytest.raises(ShardError, match=r"tokenizer\.json: missing"):
        read_tokenizer(folder, manifest)


def test_what_shards_from_elsewhere_lack_leaves_no_trace_and_what_is_there_is_kept(folder: Path) -> None:
    written = (folder / "manifest.json").read_bytes()
    assert not [key for key in (b"health", b"shuffle_seed", b"documents_hash") if key in written]
    manifest = Manifest.load(folder)
    source = manifest.splits["train"]["b"]
    shards = [replace(shard, documents_hash="0" * 32) for shard in source.shards]
    health = Health(99, 6.5, 40, 1, 30, 0, [0, 2, 1], 7, "a name")
    manifest.splits["train"]["b"] = replace(source, shards=shards, health=health)
    more = manifest
    for seed in ("several", "unknown", 2**64 - 1):
        more = replace(manifest, shuffle_seed=seed)
        more.save(folder)
        assert Manifest.load(folder) == more
    record = orjson.loads((folder / "manifest.json").read_bytes())
    del record["hash"]
    for key, value in {"entropy_bits": "6", "lengths": [1.5], "longest_id": 7, "used_ids": -1}.items():
        wrong = orjson.loads(orjson.dumps(record))
        wrong["splits"]["train"]["b"]["health"][key] = value
        (folder / "manifest.json").write_bytes(orjson.dumps(wrong))
        with pytest.raises(ShardError, match=rf"splits\.train\.b\.health\.{key}"):
            Manifest.load(folder)
    for seed in (-1, True, "some", [0]):
        (folder / "manifest.json").write_bytes(orjson.dumps(record | {"shuffle_seed": seed}))
        with pytest.raises(ShardError, match=r"shuffle_seed: .* is not an integer of at least 0, 'several' or 'unkn"):
            Manifest.load(folder)
    (folder / "manifest.json").write_bytes(orjson.dumps(record | {"eot": "before"}))
    with pytest.raises(ShardError, match="eot: 'before' is not 'after'"):
        Manifest.load(folder)
