"""A small corpus of two sources whose every document has a known fate, and the config of a pipeline over it."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from tokenizers import Tokenizer

from data_pipeline.documents import from_texts
from data_pipeline.pipeline import Result, check_config, run
from data_pipeline.shards.manifest import Manifest
from data_pipeline.shards.reader import open_split
from data_pipeline.storage import REMOVED_SCHEMA
from foundation.config import DEFAULT_TARGETS

WORDS = [f"{start}{middle}{end}" for start in "bdfgklmnpr" for middle in "aeiou" for end in ("n", "sto", "rim")]
QUESTION = "which of the seven bridges was crossed twice by the merchant before the winter market opened again"


@dataclass
class Made:
    """What was written, by source and in the corpus's order.

    Attributes:
        folder: of the inputs. unique: source -> texts that are no copies. leaks: id -> those of them that hold the test
        item. places: text -> file and row, of all of these. copies: id -> reason. bad: (file, row) of the unreadable
        lines. num_records: lines of all files.
    """

    folder: Path
    unique: dict[str, list[str]] = field(default_factory=dict)
    leaks: dict[str, str] = field(default_factory=dict)
    places: dict[str, tuple[str, int]] = field(default_factory=dict)
    copies: dict[str, str] = field(default_factory=dict)
    bad: set[tuple[str, int]] = field(default_factory=set)
    num_records: int = 0


@pytest.fixture(scope="module", autouse=True)
def nothing_is_flushed() -> Iterator[None]:
    """A run flushes a thousand small files, and no test here cuts the power: when what is flushed, `disk_events` tells
    of the functions that do it. Processes that a test starts flush all the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)  # which refuses what is no open file, too
        yield


@pytest.fixture(scope="session")
def batch_of() -> Callable[..., pa.RecordBatch]:
    """Make a batch of texts, as a slice of a larger one so that offsets don't begin at 0."""

    def make(*texts: str) -> pa.RecordBatch:
        return from_texts(["before …", *texts, "after …"]).slice(1, len(texts))

    return make


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The corpus: plain, gzip and zstandard files of web, one of books; copies, near copies, leaks, broken lines."""
    rng = random.Random(7)
    made = Made(tmp_path_factory.mktemp("inputs"))
    originals: list[str] = []

    def prose() -> str:
        return " ".join(rng.choices(WORDS, k=rng.randint(80, 320)))

    def lines_of(file: str, source: str, count: int) -> bytes:
        lines: list[bytes] = []
        for row in range(count):
            identifier = f"{file}-{row}"
            if row % 25 == 9:
                text = f"  {originals[-7].upper()}\n"
                made.copies[identifier] = "exact_duplicate"
            elif row % 25 == 14:
                text = f"{originals[-3]} zzz"  # one shingle more: Jaccard above 0.95
                made.copies[identifier] = "near_duplicate"
            elif row % 25 == 19:
                text = made.leaks[identifier] = f"{prose()} {QUESTION} {prose()}"
                made.unique.setdefault(source, []).append(text)
                made.places[text] = file, row
            elif row % 25 == 24:
                made.bad.add((file, row))
                lines.append(b'{"text": "cut' if row % 2 else b'{"text": "\xff\xfe"}')
                continue
            else:
                text = f"{prose()} <|endoftext|> \u00e9\u4e2d\U0001f600 {row}"
                originals.append(text)
                made.unique.setdefault(source, []).append(text)
                made.places[text] = file, row
            lines.append(json.dumps({"id": identifier, "text": text, "page": row}).encode())
        made.num_records += count
        return b"\n".join(lines) + b"\n"

    books, web = made.folder / "books", made.folder / "web"
    books.mkdir()
    web.mkdir()
    (books / "d.jsonl").write_bytes(lines_of("d.jsonl", "books", 60))
    (web / "a.jsonl").write_bytes(lines_of("a.jsonl", "web", 90))
    (web / "b.jsonl.gz").write_bytes(gzip.compress(lines_of("b.jsonl.gz", "web", 70)))
    (web / "c.jsonl.zst").write_bytes(zstandard.compress(lines_of("c.jsonl.zst", "web", 40)))
    (made.folder / "test.jsonl").write_text(json.dumps({"question": QUESTION}) + "\n")
    return made


@pytest.fixture(scope="session")
def config() -> Callable[..., dict[str, Any]]:
    """The plain config over a folder of inputs; keyword arguments set keys, `dedup__threshold` a nested one."""

    def config(inputs: Path, output_dir: Path, **changes: Any) -> dict[str, Any]:
        jsonl = "data_pipeline.sources.jsonl.Jsonl"
        tree: dict[str, Any] = {
            "corpus": {
                "_target_": "data_pipeline.sources.several.Several",
                "sources": {
                    name: {"_target_": jsonl, "paths": [f"{inputs}/{name}/*"], "source": name, "weight": weight}
                    for name, weight in (("web", 3.0), ("books", 1.0))
                },
            },
            "clean": {"_target_": "data_pipeline.clean.rules.NoClean"},
            "dedup": {"_target_": "data_pipeline.dedup.minhash.MinHash", "threshold": 0.8, "keep": "first"}
            | {"save_signatures": True},
            "paragraphs": {"_target_": "data_pipeline.dedup.paragraphs.RepeatedParagraphs", "min_words": 1000},
            "decontaminate": {
                "_target_": "data_pipeline.decontaminate.ngram.NGram",
                "test_sets": [str(inputs / "test.jsonl")],
                "max_document_frequency": 100,
            },
            "augment": {"_target_": "data_pipeline.augment.augmentation.NoAugment"},
            "mix": {"_target_": "data_pipeline.mix.mix.Mix", "held_out_frac": 0.06, "seed": 3},
            "tokenizer": {"_target_": "data_pipeline.tokenize.bpe.ByteLevelBPE", "vocab_size": 400},
            "shards": {"_target_": "data_pipeline.shards.writer.Sharder", "max_shard_bytes": 1 << 16},
            "executor": {"_target_": "data_pipeline.executors.local.Local", "workers": 1},
            "name": "test",
            "output_dir": str(output_dir),
            "partition_bytes": 1 << 15,
            "min_bad_records": 100,
        }
        for path, value in changes.items():
            *parents, last = path.split("__")
            node = tree
            for parent in parents:
                node = node[parent]
            node[last] = value
        return tree

    return config


@pytest.fixture(scope="session")
def finished(made: Made, config: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished output folder of one undisturbed run; to be read, never changed."""
    folder = tmp_path_factory.mktemp("finished") / "out"
    run(**check_config(config(made.folder, folder)))
    return folder


@pytest.fixture(scope="session")
def output_hashes() -> Callable[[Path], dict[str, str]]:
    """Path -> SHA-256 of every output that promises to be the same bytes."""

    def output_hashes(folder: Path) -> dict[str, str]:
        free = {".lock", "timing.json", "config.yaml", "report.html"}
        files = [path for path in folder.rglob("*") if path.is_file() and path.name not in free]
        named = {str(path.relative_to(folder)): path for path in files}
        return {
            name: hashlib.sha256(path.read_bytes()).hexdigest()
            for name, path in sorted(named.items())
            if not name.startswith("work/")
        }

    return output_hashes


@pytest.fixture(scope="session")
def go() -> Callable[..., Result]:
    """Check a plain config and run it; further arguments are prefixes of targets beside the project's own."""

    def go(tree: dict[str, Any], *prefixes: str) -> Result:
        return run(**check_config(tree, (*DEFAULT_TARGETS, *prefixes)))

    return go


@pytest.fixture(scope="session")
def redone() -> Callable[[Result], list[str]]:
    """Names of the stages that a run did itself."""

    def redone(result: Result) -> list[str]:
        return [stage.name for stage in result.stages if stage.redone]

    return redone


@pytest.fixture(scope="session")
def decoded() -> Callable[[Path], dict[str, dict[str, list[str]]]]:
    """split -> source -> texts, from the ids on disk."""

    def decoded(folder: Path) -> dict[str, dict[str, list[str]]]:
        manifest = Manifest.load(folder)
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        found: dict[str, dict[str, list[str]]] = {}
        for split in ("train", "val"):
            found[split] = {}
            for source, stream in open_split(folder, manifest, split).items():
                ids = stream.tokens(0, manifest.splits[split][source].tokens)
                ends = np.flatnonzero(ids == manifest.eot_id)
                assert len(ends) == manifest.splits[split][source].documents  # end-of-text ends documents, nothing else
                starts = np.concatenate([[0], ends[:-1] + 1])
                found[split][source] = [
                    tokenizer.decode(ids[start:end].tolist(), skip_special_tokens=False)
                    for start, end in zip(starts, ends, strict=True)
                ]
        return found

    return decoded


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished output folder that a test may change."""
    return Path(shutil.copytree(finished, tmp_path / "out"))


@pytest.fixture(scope="session")
def flip() -> Callable[[Path, str], None]:
    """Flip a bit in what a parquet file holds of a column."""

    def flip(path: Path, column: str) -> None:
        pages = pq.read_metadata(path).row_group(0).column(REMOVED_SCHEMA.names.index(column))
        data = bytearray(path.read_bytes())
        data[pages.dictionary_page_offset + pages.total_compressed_size - 1] ^= 1  # their last byte
        path.write_bytes(data)

    return flip


@pytest.fixture
def inputs(made: Made, tmp_path: Path) -> Path:
    """A copy of the inputs that a test may change."""
    return Path(shutil.copytree(made.folder, tmp_path / "inputs"))
