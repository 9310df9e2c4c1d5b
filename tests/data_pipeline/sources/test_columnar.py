"""Tables in a whole run: the ledger balances, any number of workers gives the same bytes, only changes are redone."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_pipeline.pipeline import Result
from data_pipeline.sources.arrow import Arrow
from data_pipeline.sources.columnar import Growing, Keys, packed, unpacked
from data_pipeline.sources.csv import Csv
from data_pipeline.sources.parquet import Parquet
from data_pipeline.sources.source import InputFile
from data_pipeline.stages.source_settings import describe
from foundation.errors import InputError, SettingError

Config = Callable[..., dict[str, Any]]
Go = Callable[[dict[str, Any]], Result]
WORDS = ("the", "of", "and", "to", "a", "in", "is", "that", "it", "have", "small", "words", "make", "long", "texts")


def table(rows: int, seed: int) -> pa.Table:
    draw = random.Random(seed)
    texts = [" ".join(draw.choices(WORDS, k=60)) for _ in range(rows)]
    return pa.table({"id": [f"{seed}-{row}" for row in range(rows)], "text": texts, "n": list(range(rows))})


def write_tables(folder: Path) -> None:
    folder.mkdir()
    pq.write_table(table(120, 1), folder / "a.parquet", row_group_size=30, write_page_checksum=True)
    broken = table(30, 2).set_column(1, "text", pa.array([None, *table(30, 2)["text"].to_pylist()[1:]]))
    pq.write_table(broken, folder / "b.parquet")
    with pa.ipc.new_stream(str(folder / "c.arrow"), table(1, 3).schema) as writer:
        writer.write_table(table(90, 3), max_chunksize=25)
    sink = io.StringIO(newline="")
    csv.writer(sink).writerows([("id", "text", "n"), *(row.values() for row in table(80, 4).to_pylist()), ("one",)])
    (folder / "d.csv").write_text(sink.getvalue(), newline="")


def corpus_of(folder: Path) -> dict[str, Any]:
    kinds = {"parquet": "Parquet", "arrow": "Arrow", "csv": "Csv"}
    sources = {
        name: {"_target_": f"data_pipeline.sources.{name}.{kind}", "paths": [f"{folder}/*.{name}"], "source": name}
        for name, kind in kinds.items()
    }
    return {"_target_": "data_pipeline.sources.several.Several", "sources": sources}


CHANGES: dict[str, Any] = {
    "partition_bytes": 8_000,
    "mix__held_out_frac": 0.1,
    "decontaminate__test_sets": [],
    "tokenizer__vocab_size": 280,
}


def test_the_ledger_balances_and_any_number_of_workers_gives_the_same_bytes(
    config: Config, go: Go, tmp_path: Path, output_hashes: Callable[[Path], dict[str, str]]
) -> None:
    folder = tmp_path / "in"
    write_tables(folder)
    outputs = []
    for workers in (1, 2):
        out = tmp_path / f"out{workers}"
        result = go(config(tmp_path, out, corpus=corpus_of(folder), executor__workers=workers, **CHANGES))
        book = result.stages[0].book
        assert {name: (account.num_in, account.num_out) for name, account in book.items()} == {
            "parquet": (150, 149),
            "arrow": (90, 90),
            "csv": (81, 80),
        }
        assert book["csv"].quarantined == {"ragged": 1} and book["parquet"].quarantined == {"text_type": 1}
        outputs.append(output_hashes(out))
    assert outputs[0] == outputs[1]


def test_only_what_changed_of_a_table_is_redone(config: Config, go: Go, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    write_tables(folder)
    tree = config(tmp_path, out, corpus=corpus_of(folder), **CHANGES)
    go(tree)

    def times() -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in (out / "work" / "clean").glob("*.arrow")}

    before = times()
    changed = table(120, 1).to_pylist()
    changed[-1]["text"] += " more"
    pq.write_table(pa.Table.from_pylist(changed), folder / "a.parquet", row_group_size=30, write_page_checksum=True)
    go(tree)
    redone = {name for name, time in times().items() if before.get(name) != time}
    assert 0 < len(redone) <= 3 < len(before) / 2


def test_a_block_comes_back_as_it_was_packed() -> None:
    facts, data = unpacked(packed({"rows": 3, "name": "a\nb"}, [b"x\n", b"y"]))
    assert (facts, bytes(data)) == ({"rows": 3, "name": "a\nb"}, b"x\ny")


def test_growing_stops_at_the_limit_and_names_it() -> None:
    growing = Growing(InputFile("x", None, 0), "row group 2", 10)
    growing.add(10)
    with pytest.raises(InputError, match=r"x: row group 2 unpacks to 11 bytes or more, above the 10 .*max_block_bytes"):
        growing.add(1)


def test_keys_that_cannot_work_are_refused() -> None:
    for keys, name in ((("a", "a", 1, 1 << 20), "id_key"), (("a", "b", 0, 1 << 20), "max_doc_bytes")):
        with pytest.raises(SettingError, match=rf"^{name}: "):
            Keys(*keys)


@pytest.mark.parametrize("kind", [Parquet, Arrow, Csv])
def test_a_source_of_tables_is_known_by_its_settings(kind: Any) -> None:
    assert describe(kind(["a"])) == describe(kind(["b"], weight=2.0)) != describe(kind(["a"], text_key="content"))
    assert not any(name.startswith("_") and name != "_target_" for name in describe(kind(["a"])))


@pytest.mark.parametrize("kind", [Parquet, Arrow])
def test_an_id_column_that_was_named_and_is_not_there_is_told_once(
    kind: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        if kind is Parquet:
            pq.write_table(table(3, 1), tmp_path / name)
        else:
            with pa.ipc.new_file(tmp_path / name, table(3, 1).schema) as writer:
                writer.write_table(table(3, 1))
    for key, times in (("idd", 1), ("id", 0), ("n", 0)):
        source = kind([str(tmp_path / "*")], id_key=key).keyed("corpus.sources.w")
        for file in source.files():
            assert list(source.blocks(file, 1 << 20))
        said = capsys.readouterr().err
        assert said.count("a: has no column 'idd' (corpus.sources.w.id_key)") == said.count("warning: ") == times
