"""The order of documents in finished shards, and where each says that it comes from: whole runs of the pipeline."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from data_pipeline.pipeline import Result
from data_pipeline.shards.alarms import TokenAlarm
from data_pipeline.shards.manifest import Manifest
from data_pipeline.shards.verify import verify

Config = Callable[..., dict[str, Any]]
Go = Callable[[dict[str, Any]], Result]
Redone = Callable[[Result], list[str]]
NOTHING = {
    "dedup": {"_target_": "data_pipeline.dedup.dedup.NoDedup"},
    "paragraphs": {"_target_": "data_pipeline.dedup.paragraphs.NoParagraphs"},
    "decontaminate": {"_target_": "data_pipeline.decontaminate.decontaminator.NoDecontaminate"},
}


@pytest.fixture
def tree(made: Any, finished: Path, config: Config, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """The config of a run that only splits and encodes, with a given tokenizer."""

    def tree(name: str, **changes: Any) -> dict[str, Any]:
        given = {"_target_": "data_pipeline.tokenize.given.TokenizerFile", "path": str(finished / "tokenizer.json")}
        return config(made.folder, tmp_path / name, **NOTHING, tokenizer=given, **changes)

    return tree


def shards_of(out: Path, source: str) -> dict[str, bytes]:
    files = (out / "shards").rglob(f"{source}_*")
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def test_neither_partitions_nor_workers_nor_another_source_change_a_source(tree: Any, go: Go, tmp_path: Path) -> None:
    go(tree("both"))
    go(tree("cut", partition_bytes=1 << 12, executor__workers=2, shards__cell_bytes=1 << 16))
    alone = tree("alone")
    del alone["corpus"]["sources"]["web"]
    go(alone)
    expected = shards_of(tmp_path / "both", "books")
    assert len([name for name in expected if name.endswith(".documents.parquet")]) >= 2
    assert shards_of(tmp_path / "alone", "books") == expected == shards_of(tmp_path / "cut", "books")
    assert shards_of(tmp_path / "cut", "web") == shards_of(tmp_path / "both", "web")


def test_another_seed_is_another_order_of_the_same_and_none_is_the_corpus_s(
    made: Any, tree: Any, go: Go, decoded: Any, redone: Redone, tmp_path: Path
) -> None:
    found = []
    for changes in ({"shards__seed": 0}, {"shards__seed": 1}, {"shards__shuffle": False}):
        assert redone(go(tree("out", **changes)))[-1] == "shards"
        found.append(decoded(tmp_path / "out"))
        assert Manifest.load(tmp_path / "out").shuffle_seed == changes.get("shards__seed")
    for source in ("web", "books"):
        first, second, plain = (each["train"][source] for each in found)
        assert sorted(first) == sorted(second) == sorted(plain)
        assert first != second and plain not in (first, second)
        unique = [text for text in plain if text in made.places]
        assert unique == [text for text in made.unique[source] if text in set(plain)]


def test_each_document_says_where_it_comes_from(made: Any, finished: Path, decoded: Any) -> None:
    texts = decoded(finished)
    for split, sources in Manifest.load(finished).splits.items():
        for source, held in sources.items():
            paths = [finished / "shards" / split / f"{info.name}.documents.parquet" for info in held.shards]
            rows = [row for path in paths for row in pq.read_table(path).to_pylist()]
            places = [made.places[text] for text in texts[split][source]]
            assert [(row["source_file"], row["row"]) for row in rows] == places
            assert [row["id"] for row in rows] == [f"{file}-{row}" for file, row in places]


def test_the_row_of_a_copy_is_that_of_its_document(made: Any, tree: Any, go: Go, tmp_path: Path) -> None:
    go(tree("out", augment={"_target_": "data_pipeline.augment.noise.Noise", "frac": 0.9, "copies": 2}))
    paths = (tmp_path / "out" / "shards" / "train").glob("*.documents.parquet")
    rows = [row for path in paths for row in pq.read_table(path).to_pylist()]
    copies = [row for row in rows if "#" in row["id"]]
    assert len(copies) > 100
    for row in copies:
        assert row["id"].partition("#")[0] == f"{row['source_file']}-{row['row']}"


def test_a_table_of_documents_that_changed_is_named_and_made_again(
    made: Any, out: Path, finished: Path, config: Config, go: Go, redone: Redone, output_hashes: Any
) -> None:
    tables = sorted((out / "shards" / "train").glob("web_*.documents.parquet"))
    whole = [path.read_bytes() for path in tables]
    data, others = whole[0], whole[1:]
    place = random.Random(3).randrange(len(data))
    damages = {
        "cut": data[:-7],
        "flipped": data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :],
        "swapped": others[0],
    }
    for damaged in damages.values():
        tables[0].write_bytes(damaged)
        found = {name: problems for name, problems in verify(out).items() if problems}
        assert list(found) == ["train/web_00000"]
        assert "web_00000.documents.parquet: its hash is " in found["train/web_00000"][0].problem
    tables[0].unlink()
    assert "documents.parquet: missing" in verify(out)["train/web_00000"][0].problem
    assert redone(go(config(made.folder, out))) == ["shards"]
    assert output_hashes(out) == output_hashes(finished)


def test_two_healthy_shards_that_changed_places_are_both_named(out: Path) -> None:
    for first in (out / "shards" / "train").glob("web_00000.*"):
        second = first.with_name(first.name.replace("_00000", "_00001"))
        held = first.read_bytes()
        first.write_bytes(second.read_bytes())
        second.write_bytes(held)
    found = {name: [each.problem for each in problems] for name, problems in verify(out).items() if problems}
    assert list(found) == ["train/web_00000", "train/web_00001"]
    for name, problems in found.items():
        sums, documents = problems
        assert f"{name}.sum: its hash is" in sums and "belongs to another shard" in sums
        assert f"{name}.documents.parquet: its hash is" in documents


def test_an_alarm_warns_or_stops_and_changing_a_limit_encodes_nothing_again(
    made: Any, out: Path, finished: Path, config: Config, go: Go, redone: Redone, output_hashes: Any
) -> None:
    alarms = {"_target_": "data_pipeline.shards.alarms.Alarms", "min_tokens": 1000, "max_document_frac": 1.0}
    alarms |= {"min_used_frac": 0.0, "max_repeated_frac": 0.0}
    warned = go(config(made.folder, out, shards__alarms=alarms))
    assert redone(warned) == []
    assert len(warned.alarms) >= 2 and all("more than max_repeated_frac 0.0%" in alarm for alarm in warned.alarms)
    with pytest.raises(TokenAlarm, match=r"web \(train\): .*repeat the one before.*shards\.on_alarm=warn"):
        go(config(made.folder, out, shards__alarms=alarms, shards__on_alarm="stop"))
    assert not (out / "manifest.json").exists()
    sound = go(config(made.folder, out, shards__on_alarm="stop"))
    assert redone(sound) == [] and not sound.alarms
    assert output_hashes(out) == output_hashes(finished)
