"""An open data folder: its counts, its weights, and what it says when it can't serve."""

from __future__ import annotations

import gzip
import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.shards.errors import ShardError
from foundation.hashes import hash_file
from pretrain.data.dataset import Dataset, open_data
from pretrain.data.errors import DataError

Make = Callable[..., Path]
Documents = Callable[[int, int], list[np.ndarray]]


@pytest.fixture
def dataset(make_folder: Make, documents: Documents) -> Dataset:
    train = {"web": documents(40, 1), "code": documents(20, 2), "books": documents(10, 3)}
    return open_data(make_folder(train, weights={"web": 3.0, "code": 1.0, "books": 0.0}))


def test_counts_samples_as_the_definition_says(dataset: Dataset) -> None:
    for seq_len in (1, 7, 64):
        samples = {name: (stream.num_tokens - 1) // seq_len for name, stream in dataset.train.items()}
        assert dataset.samples_per_epoch(seq_len) == samples["web"] + samples["code"]
        assert dataset.samples_per_epoch(seq_len, {"books": 1.0}) == samples["books"]


@pytest.mark.bad_input(48)
def test_a_source_of_exactly_one_sample_counts_and_one_token_less_does_not(make_folder: Make) -> None:
    folder = make_folder({"a": [np.arange(1, 33)]})  # 32 ids and an end-of-text
    assert open_data(folder).num_samples("a", 32) == 1
    with pytest.raises(DataError, match=r"'a' .* holds 33 training tokens, .*trainer.seq_len=33 takes 34"):
        open_data(folder).samples_per_epoch(33)


def test_weights_come_from_the_manifest_or_the_mixture(dataset: Dataset) -> None:
    assert dataset.shares() == {"code": 1.0, "web": 3.0}
    assert dataset.shares({"web": 1, "books": 5}) == {"books": 5, "web": 1}


@pytest.mark.parametrize(
    ("mixture", "message"),
    [
        ({"wbe": 1.0}, r"data.mixture.wbe: no source .* did you mean 'web'\?; it holds books, code, web"),
        ({"web": 0.0}, "no source of .* has a weight above 0; it holds books, code, web"),
    ],
)
def test_an_impossible_mixture_is_refused(dataset: Dataset, mixture: dict[str, float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        dataset.shares(mixture)


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("data/pydocs", "`python -m data_pipeline`"),
        ("data/web", "`python -m data_pipeline corpus=jsonl corpus.paths='[<your files>]' name=web` (corpus=text"),
        ("elsewhere/web", "corpus=jsonl corpus.paths='[<your files>]' output_dir=elsewhere/web`"),
    ],
)
def test_without_shards_the_error_names_the_command(
    path: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as error:
        open_data(path)
    assert f"data.path: {path} is no folder" in str(error.value)
    assert command in str(error.value)
    Path(path).mkdir(parents=True)
    with pytest.raises(DataError, match=r"has no manifest\.json"):
        open_data(path)


@pytest.mark.parametrize(
    ("path", "file", "made"),
    [
        ("dumps", "a.jsonl", "data/dumps"),
        ("dumps", "a.jsonl.gz", "data/dumps"),
        ("data/books", "a.b.txt", "data/books_shards"),  # the pipeline writes to no folder with files of others
        ("plays.txt", "", "data/plays"),
    ],
)
def test_raw_text_is_answered_with_the_line_that_makes_shards_of_it(
    path: str, file: str, made: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    raw = Path(path, file)
    raw.parent.mkdir(parents=True, exist_ok=True)
    texts = [f"The play number {i} is about the king number {i * i} and what became of him." for i in range(400)]
    lines = texts if "txt" in raw.name else [json.dumps({"text": text}) for text in texts]
    content = "\n".join(lines).encode()
    raw.write_bytes(gzip.compress(content) if raw.suffix == ".gz" else content)
    with pytest.raises(DataError, match=f"^data.path: {path} .*then give data.path={made}$") as error:
        open_data(path)
    command = shlex.split(str(error.value).split("`")[1])
    smaller = ["corpus.separator=\\n"] if "corpus=text" in command else []
    smaller += ["clean=none", "dedup=none", "tokenizer.vocab_size=300", "executor.workers=1"]
    subprocess.run([sys.executable, *command[1:], *smaller], check=True, stdout=subprocess.DEVNULL)
    assert open_data(made).samples_per_epoch(16) > 100


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("data/mixed/shards", "the folder above it is a data folder; give data.path=data/mixed"),
        ("data/mixd", "data folders near it: data/mixed; give one as data.path=, or make its shards with the line"),
        ("data", r"has no manifest\.json; data folders near it: data/mixed, data/web; give one"),
        ("data/pydocs", "data folders near it: data/mixed, data/web; give one as data.path=, or .*data_pipeline`$"),
        ("elsewhere/x", "is no folder; make its shards with"),
    ],
)
def test_a_path_beside_a_data_folder_is_answered_with_that_folder(
    path: str, message: str, make_folder: Make, documents: Documents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_folder({"web": documents(9, 1)})
    for name in ("mixed", "web"):
        shutil.copytree(made, tmp_path / "here" / "data" / name)
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(DataError, match=f"^data.path: {path} .*{message}"):
        open_data(path)


def test_the_fingerprint_is_the_manifest_s_and_a_cut_shard_does_not_open(
    make_folder: Make, documents: Documents
) -> None:
    folder = make_folder({"web": documents(40, 1)})
    assert open_data(folder).fingerprint == hash_file(folder / "manifest.json")
    shard = folder / "shards" / "train" / "web_00000.bin"
    shard.write_bytes(shard.read_bytes()[:-2])
    with pytest.raises(ShardError, match=r"web_00000\.bin: cut short"):
        open_data(folder)
