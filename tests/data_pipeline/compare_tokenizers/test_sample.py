from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from data_pipeline.compare_tokenizers.sample import runs, sample_corpus, sample_folder
from data_pipeline.executors.local import Local
from data_pipeline.shards.manifest import SPLITS, Manifest
from data_pipeline.shards.reader import open_split
from data_pipeline.sources.jsonl import Jsonl
from data_pipeline.sources.several import Several
from foundation.errors import ConfigError, InputError

ONE = Local(workers=1)


def shard_texts(folder: Path) -> dict[str, set[str]]:
    """What the shards of a folder hold, by split."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    manifest = Manifest.load(folder)
    found: dict[str, set[str]] = {}
    for split in SPLITS:
        found[split] = set()
        for stream in open_split(folder, manifest, split).values():
            for shard in stream.shards:
                ends = np.cumsum(shard.lengths)
                for end, length in zip(ends.tolist(), shard.lengths.tolist(), strict=True):
                    found[split].add(tokenizer.decode(shard.tokens(end - length, end - 1).tolist()))
    return found


def test_a_finished_folder_gives_what_its_shards_hold(finished: Path) -> None:
    sample = sample_folder(finished, 10**9, 0)
    assert sample.held_out is not None and not sample.is_estimate
    texts = np.array(sample.texts.to_pylist(), object)
    expected = shard_texts(finished)
    assert set(texts[~sample.held_out]) == expected["train"]
    assert set(texts[sample.held_out]) == expected["val"] != set()
    manifest = Manifest.load(finished)
    for source, num_bytes in zip(sample.sources, sample.text_bytes, strict=True):
        assert num_bytes == sum(manifest.splits[split][source].utf8_bytes for split in SPLITS)


def test_a_sample_is_bounded_and_hangs_on_the_seed(finished: Path) -> None:
    small, again, other = (sample_folder(finished, 20_000, seed) for seed in (1, 1, 2))
    assert 20_000 <= small.sizes.sum() < 20_000 + small.sizes.max()
    assert small.texts.equals(again.texts) and not small.texts.equals(other.texts)
    assert small.text_bytes == other.text_bytes


def test_folders_that_are_none_are_named(tmp_path: Path, finished: Path) -> None:
    with pytest.raises(ConfigError, match=r"^data_dir: .* is no data folder; give a folder that"):
        sample_folder(tmp_path, 10, 0)
    (tmp_path / "work").mkdir()
    with pytest.raises(ConfigError, match=r"^data_dir: .* has no manifest\.json: its run was not finished"):
        sample_folder(tmp_path, 10, 0)
    (tmp_path / "manifest.json").write_bytes((finished / "manifest.json").read_bytes())
    with pytest.raises(ConfigError, match=r"^data_dir: .*work is not what a finished run leaves"):
        sample_folder(tmp_path, 10, 0)


def write(path: Path, texts: list[str], bad: int = 0) -> Path:
    lines = [json.dumps({"text": text}) for text in texts] + ["{"] * bad
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_small_corpus_is_taken_whole(tmp_path: Path) -> None:
    texts = [f"text {number} " * 20 for number in range(50)]
    write(tmp_path / "a.jsonl", texts[:30], bad=2)
    write(tmp_path / "b.jsonl", texts[30:])
    sources = {name: Jsonl([str(tmp_path / f"{name}.jsonl")], source=name) for name in "ab"}
    sample = sample_corpus(Several(sources), 10**6, 0, ONE)
    assert sample.texts.to_pylist() == texts
    assert sample.sources == ["a", "b"] and sample.source_of.tolist() == [0] * 30 + [1] * 20
    assert sample.text_bytes == [sum(map(len, texts[:30])), sum(map(len, texts[30:]))]
    assert not sample.is_estimate and sample.held_out is None
    assert sample.unreadable == {"json": 2}
    assert sample.named(31).startswith("b: ") and sample.named(31).endswith("record 2")


def test_of_a_large_corpus_a_part_is_read_that_tells_the_whole(tmp_path: Path) -> None:
    texts = [f"{number} {'word ' * (number % 40)}" for number in range(20_000)]
    corpus = Jsonl([str(write(tmp_path / "a.jsonl", texts))], source="a")
    sample = sample_corpus(corpus, 200_000, 3, ONE)
    assert 150_000 < sample.sizes.sum() < 210_000
    assert sample.is_estimate
    assert sample.text_bytes[0] == pytest.approx(sum(map(len, texts)), rel=0.05)
    assert set(sample.texts.to_pylist()) <= set(texts)
    assert sample_corpus(corpus, 200_000, 3, ONE).texts.equals(sample.texts)
    with Local(workers=2) as workers:
        assert sample_corpus(corpus, 200_000, 3, workers).texts.equals(sample.texts)


def test_a_corpus_without_text_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^corpus: there is no text in it"):
        sample_corpus(Jsonl([str(write(tmp_path / "a.jsonl", ["", ""]))], source="a"), 100, 0, ONE)


def test_runs_cover_all_and_are_bounded() -> None:
    sizes = np.array([3, 3, 3, 20, 1, 1, 0])
    assert list(runs(sizes, 6)) == [(0, 2), (2, 3), (3, 4), (4, 7)]
    assert list(runs(sizes[:0], 6)) == []
