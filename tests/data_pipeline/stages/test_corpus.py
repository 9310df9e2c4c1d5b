"""What workers make of candidates, read back in any order, is what is made of them in memory."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_pipeline.dedup.corpus import TextsInMemory
from data_pipeline.dedup.exact import Exact
from data_pipeline.dedup.sets import num_shingles, sets_at, shingle_sets
from data_pipeline.executors.local import Local
from data_pipeline.sources.batches import document_batch
from data_pipeline.stages.corpus import StoredCorpus
from data_pipeline.stages.duplicates import NearDuplicates
from data_pipeline.stages.stage import Workplace
from data_pipeline.stages.view import Partition, View, batch_path, decision_path, keys_path
from data_pipeline.storage import write_arrays, write_batch

SIZES = (4, 0, 9, 1, 6)
GONE = (2, 13)
TEXTS = [" ".join(f"word{number}_{place}" for place in range(1 + number % 7)) for number in range(sum(SIZES))]
MAKE = partial(shingle_sets, ngram=2)


@pytest.fixture
def view(tmp_path: Path) -> View:
    work = tmp_path / "work"
    partitions, start = [], 0
    for number, size in enumerate(SIZES):
        texts = [text.encode() for text in TEXTS[start : start + size]]
        batch = document_batch(number, list(range(size)), [b"id"] * size, texts, [b"{}"] * size)
        name = f"0000{number}-00000"
        content_hash = write_batch(batch_path(work, name), batch)
        rows = np.arange(size)
        write_arrays(keys_path(work, name), {"files": rows.astype(np.int32), "rows": rows, "sizes": rows})
        partitions.append(Partition(name, "web", size, 0, content_hash))
        start += size
    write_arrays(decision_path(work, "exact"), {"gone": np.array(GONE)})
    return View(work, partitions, ["file"]).after("exact")


def stored(view: View, tmp_path: Path, executor: Local) -> StoredCorpus:
    return StoredCorpus(NearDuplicates(Workplace(tmp_path, executor), Exact(), {}), view, "identity")


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_sets_are_those_of_the_texts(view: View, tmp_path: Path, workers: int) -> None:
    rng = random.Random(0)
    held = TextsInMemory([text for number, text in enumerate(TEXTS) if number not in GONE])
    with Local(workers) as executor:
        corpus = stored(view, tmp_path, executor)
        for number_chosen in (0, 1, 7, len(TEXTS) - len(GONE)):
            chosen = np.array(sorted(rng.sample(range(len(TEXTS) - len(GONE)), number_chosen)), np.int64)
            assert corpus.texts_at(chosen) == held.texts_at(chosen)
            found, expected = corpus.sets_at(chosen, MAKE), held.sets_at(chosen, MAKE)
            assert num_shingles(found).tolist() == num_shingles(expected).tolist()
            places = np.array(rng.choices(range(number_chosen), k=30) if number_chosen else [], np.int64)
            for mine, other in zip(sets_at(found, places), sets_at(expected, places), strict=True):
                assert mine.tolist() == other.tolist()


def test_every_partition_is_read_once_and_not_again(
    view: View, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    original = Path.read_bytes

    def read_bytes(path: Path) -> Any:
        if path.suffix == ".arrow":
            read.append(path)
        return original(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    corpus = stored(view, tmp_path, Local(1))
    for _ in range(2):  # the second time as a run that was stopped and goes on
        found = corpus.sets_at(np.array([0, 2, 5, 8, 15]), MAKE)
        assert num_shingles(found).sum() == sum(max(1, len(TEXTS[i].split()) - 1) for i in (0, 3, 6, 9, 17))
    assert len(read) == len(set(read)) == 3


def test_room_on_disk_has_no_name(view: View, tmp_path: Path) -> None:
    array = stored(view, tmp_path, Local(1)).on_disk((3, 1000), np.uint64)
    assert array.shape == (3, 1000)
    assert list((tmp_path / "work" / "near").iterdir()) == []
