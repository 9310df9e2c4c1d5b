"""What the tests of the inspection share: a finished folder with the tables of its documents beside the shards."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data_pipeline.shards.manifest import DOCUMENTS, Manifest, ShardInfo
from data_pipeline.shards.reader import open_split
from data_pipeline.storage import write_table

Rows = list[tuple[str, int, str]]  # file, row, id

SCHEMA = pa.schema(
    [
        pa.field("source_file", pa.dictionary(pa.int32(), pa.string())),
        pa.field("row", pa.int64()),
        pa.field("id", pa.string()),
    ]
)


@pytest.fixture(scope="session")
def rows_of_ids() -> Callable[[list[str]], Rows]:
    """The corpus's ids are `<file>-<row>`."""

    def rows(ids: list[str]) -> Rows:
        return [(each.rpartition("-")[0], int(each.rpartition("-")[2]), each) for each in ids]

    return rows


@pytest.fixture(scope="session")
def write_tables() -> Callable[[Path, dict[str, dict[str, Rows]]], None]:
    """Write `<shard>.documents.parquet` beside every shard, given the documents of each source in their order."""

    def write(folder: Path, documents: dict[str, dict[str, Rows]]) -> None:
        manifest = Manifest.load(folder)
        for split, sources in documents.items():
            for source, rows in sources.items():
                left = rows
                for info in manifest.splits[split][source].shards:
                    mine, left = left[: info.num_documents], left[info.num_documents :]
                    columns = dict(zip(SCHEMA.names, map(list, zip(*mine, strict=True)), strict=True))
                    columns["source_file"] = pa.array(columns["source_file"]).dictionary_encode()
                    write_table(folder / "shards" / split / f"{info.name}{DOCUMENTS}", pa.table(columns, SCHEMA))
                assert not left

    return write


@pytest.fixture(scope="session")
def ids_by_text(made: Any) -> dict[str, str]:
    """Text -> id, of every document of the corpus that can be read."""
    import gzip
    import json

    import zstandard

    found = {}
    openers = {".gz": gzip.open, ".zst": zstandard.open}
    for path in sorted(made.folder.rglob("*.*")):
        with openers.get(path.suffix, open)(path, "rb") as file:
            lines = file.read().splitlines()
        for line in lines:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if "id" in record:
                found[record["text"]] = record["id"]
    return found


@pytest.fixture(scope="session")
def origins(
    finished: Path,
    decoded: Callable[[Path], dict[str, dict[str, list[str]]]],
    ids_by_text: dict[str, str],
    rows_of_ids: Callable[[list[str]], Rows],
) -> dict[str, dict[str, Rows]]:
    """split -> source -> where each document of the finished folder comes from, by its text alone."""
    return {
        split: {source: rows_of_ids([ids_by_text[text] for text in texts]) for source, texts in sources.items()}
        for split, sources in decoded(finished).items()
    }


@pytest.fixture
def bare(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished folder as it is given on: shards, manifest and tokenizer alone."""
    folder = tmp_path / "bare"
    shutil.copytree(finished / "shards", folder / "shards")
    for name in ("tokenizer.json", "manifest.json"):
        shutil.copy(finished / name, folder)
    forget_tables(folder)
    return folder


def forget_tables(folder: Path) -> None:
    """Remove the tables beside the shards, and what the manifest says of them."""
    for path in folder.rglob(f"*{DOCUMENTS}"):
        path.unlink()
    manifest = Manifest.load(folder)
    for sources in manifest.splits.values():
        for name, source in sources.items():
            named = [(each.name, each.num_tokens, each.num_documents, each.sum_hash) for each in source.shards]
            sources[name] = replace(source, shards=[ShardInfo(*each) for each in named])
    manifest.save(folder)


@pytest.fixture
def untabled(out: Path) -> Path:
    """A copy of the finished folder, work and all, without the tables beside the shards."""
    forget_tables(out)
    return out


@pytest.fixture(scope="session")
def starts(finished: Path) -> Callable[..., list[int]]:
    """Positions of the documents' first tokens over a source's shards, found by their end-of-text tokens."""

    def starts(split: str, source: str, folder: Path = finished) -> list[int]:
        stream = open_split(folder, Manifest.load(folder), split)[source]
        ids = stream.tokens(0, stream.num_tokens)
        return [0, *(np.flatnonzero(np.asarray(ids) == 0)[:-1] + 1).tolist()]

    return starts
