"""The whole way over a corpus of known fates: nothing lost, the same bytes, what can't work is refused in time."""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_pipeline.mix.lots import lot
from data_pipeline.pipeline import Result
from data_pipeline.shards.manifest import Manifest
from data_pipeline.sources.source import TruncatedInput
from data_pipeline.storage import DamagedFile
from data_pipeline.tokenize.errors import TokenizerError
from foundation.config.compose import read_config
from foundation.errors import ConfigError, InputError
from foundation.files import read_json
from tests.data_pipeline.all_stages import ALL

Config = Callable[..., dict[str, Any]]
Go = Callable[[dict[str, Any]], Result]
Redone = Callable[[Result], list[str]]


def test_every_document_comes_out_or_is_accounted_for(made: Any, finished: Path, decoded: Any) -> None:
    texts = decoded(finished)
    held_out = {text for source in texts["val"].values() for text in source}
    leaks = {
        name: text for name, text in made.leaks.items() if text not in held_out
    }  # a held-out one stays: it is test
    for source, unique in made.unique.items():
        drawn = {text: lot("shards", 0, (source, made.places[text][0]), made.places[text][1]) for text in unique}
        shuffled = sorted(unique, key=drawn.__getitem__)
        assert shuffled != unique
        training = [text for text in shuffled if text not in held_out and text not in leaks.values()]
        assert texts["train"][source] == training  # all of them, in the order of their lots
        assert texts["val"][source] == [text for text in shuffled if text in held_out]
    assert 5 < len(held_out) < 40
    removed = [row for path in (finished / "removed").rglob("*.parquet") for row in pq.read_table(path).to_pylist()]
    assert {row["id"]: row["reason"] for row in removed} == made.copies | dict.fromkeys(leaks, "contaminated")
    for row in removed:
        if row["stage"] in ("exact", "near"):
            assert row["similarity"] >= 0.8 and row["kept_snippet"] and row["kept_id"] not in made.copies
            assert row["kept_id"] == f"{row['kept_file']}-{row['kept_row']}"
        if row["reason"] == "contaminated":
            assert row["test_item"].startswith("test#") and row["coverage"] >= 0.5
    lines = [line for path in (finished / "quarantine").rglob("*.jsonl") for line in path.read_text().splitlines()]
    bad = [json.loads(line) for line in lines]
    assert {(record["file"], record["row"]) for record in bad} == made.bad
    plain = [record for record in bad if record["file"] == "a.jsonl"]
    in_file = (made.folder / "web" / "a.jsonl").read_bytes().split(b"\n")
    assert plain and [in_file[record["line"] - 1] for record in plain] == [
        base64.b64decode(record["bytes"]) for record in plain
    ]


def test_a_folder_is_the_pipelines_own_before_any_stage_writes(
    made: Any, config: Config, tmp_path: Path, go: Go, redone: Redone
) -> None:
    out = tmp_path / "out"
    cut = tmp_path / "web" / "cut.jsonl.gz"
    cut.parent.mkdir()
    cut.write_bytes((made.folder / "web" / "b.jsonl.gz").read_bytes()[:500])
    corpus = {"_target_": "data_pipeline.sources.jsonl.Jsonl", "paths": [str(cut)]}
    nothing = {"_target_": "data_pipeline.decontaminate.decontaminator.NoDecontaminate"}
    tree = config(tmp_path, out, corpus=corpus, decontaminate=nothing)
    with pytest.raises(TruncatedInput):
        go(tree)  # ends before the first part is finished, as a kill there does
    left = out / "removed" / "clean" / ".00000-00000.parquet.tmp15767"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    shutil.copy(made.folder / "web" / "b.jsonl.gz", cut)
    assert redone(go(tree)) == ALL
    assert not left.exists()


def test_the_ledger_follows_every_source(made: Any, finished: Path, decoded: Any) -> None:
    stages = read_json(finished / "ledger.json")["stages"]
    assert list(stages) == [stage for stage in ALL if stage != "tokenizer"]
    assert sum(account["in"] for account in stages["clean"].values()) == made.num_records
    texts = decoded(finished)
    manifest = Manifest.load(finished)
    for source in made.unique:
        documents = texts["train"][source] + texts["val"][source]
        dropped = sum((Counter(stages[stage][source]["dropped"]) for stage in stages), Counter())
        assert stages["shards"][source]["out"] == len(documents) == stages["clean"][source]["out"] - dropped.total()
        utf8_bytes = sum(manifest.splits[split][source].utf8_bytes for split in ("train", "val"))
        assert utf8_bytes == sum(len(text.encode()) for text in documents)
    counts = read_json(finished / "ledger.json")["counts"]
    assert counts["decontaminate"]["test_items"] == 1 + sum(len(texts["val"][source]) for source in made.unique)
    assert counts["near"]["pairs_verified"] >= Counter(made.copies.values())["near_duplicate"]
    assert [manifest.splits["train"][source].weight for source in ("books", "web")] == [1.0, 3.0]


@pytest.mark.slow
def test_the_same_bytes_with_any_number_of_workers_and_from_any_folder(
    made: Any, finished: Path, config: Config, output_hashes: Callable[[Path], dict[str, str]], tmp_path: Path, go: Go
) -> None:
    expected = output_hashes(finished)
    assert {name.partition("/")[0] for name in expected} == {
        "shards",
        "tokenizer.json",
        "manifest.json",
        "ledger.json",
        "removed",
        "clusters",
        "signatures",
        "quarantine",
        "decontamination",
        "deduplication",
    }
    assert len([name for name in expected if name.endswith(".bin")]) > 4  # several shards
    moved = shutil.copytree(made.folder, tmp_path / "moved inputs")
    go(config(moved, tmp_path / "out", executor__workers=3))  # two of them: where one of them is killed
    assert output_hashes(tmp_path / "out") == expected


def test_outputs_name_no_host_folder_or_time(made: Any, finished: Path, tmp_path: Path) -> None:
    words = [os.uname().nodename.encode(), str(made.folder).encode(), str(finished).encode()]
    for path in finished.rglob("*"):
        inside = path.relative_to(finished)
        if path.is_file() and inside.parts[0] not in ("work", ".lock", "timing.json", "config.yaml", "report.html"):
            data = said_by(path) if path.suffix == ".parquet" else path.read_bytes()
            assert not [word for word in words if word in data], path


def said_by(path: Path) -> bytes:
    """Return what a parquet file says in words: its bytes are compressed, and hashes hold any two letters."""
    table = pq.read_table(path)
    hashes = [name for name in table.schema.names if pa.types.is_fixed_size_binary(table.schema.field(name).type)]
    return repr((table.schema.metadata, table.drop_columns(hashes).to_pylist())).encode()


def test_a_damaged_intermediate_file_is_named(made: Any, out: Path, config: Config, go: Go) -> None:
    path = min((out / "work" / "clean").glob("*.arrow"))
    data = path.read_bytes()
    path.write_bytes(data[:600] + bytes([data[600] ^ 1]) + data[601:])
    with pytest.raises(DamagedFile, match=path.name):
        go(config(made.folder, out, dedup={"_target_": "data_pipeline.dedup.exact.Exact"}))


def test_settings_and_folders_that_cannot_work_are_refused_before_anything_is_read(
    made: Any, config: Config, tmp_path: Path, go: Go
) -> None:
    out = tmp_path / "out"
    for changes in ({"partition_bytes": 0}, {"max_bad_frac": 2.0}, {"min_bad_records": -1}):
        with pytest.raises(ConfigError, match=next(iter(changes))):
            go(config(made.folder, out, **changes))
    with pytest.raises(ConfigError, match="holds the input"):
        go(config(made.folder, made.folder))
    with pytest.raises(InputError, match="nowhere"):
        go(config(made.folder, out, corpus__sources__web__paths=["/nowhere/*.jsonl"]))
    given = {"_target_": "data_pipeline.tokenize.given.TokenizerFile", "path": str(made.folder / "test.jsonl")}
    with pytest.raises(TokenizerError, match=r"tokenizer\.path: .*test\.jsonl: not a tokenizer\.json"):
        go(config(made.folder, out, tokenizer=given))
    with pytest.raises(TokenizerError, match=r"tokenizer\.path: .*absent\.json is no file"):
        go(config(made.folder, out, tokenizer=given | {"path": str(tmp_path / "absent.json")}))
    with pytest.raises(ConfigError, match=r"dedup\.treshold.*threshold"):
        go(config(made.folder, out, dedup__treshold=0.5))
    assert not out.exists()


def test_the_folder_holds_the_config_that_makes_it_again(
    made: Any, finished: Path, config: Config, go: Go, redone: Redone
) -> None:
    tree = read_config(finished / "config.yaml")
    given = config(made.folder, finished)
    assert {key: tree[key] for key in given} == given
    assert tree["max_bad_frac"] == 1e-3  # the defaults too
    assert redone(go(tree)) == []
