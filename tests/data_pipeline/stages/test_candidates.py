"""What workers measure of candidates, read back in any order, is what measuring them in memory gives."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.dedup.clusters import ShingleSets
from data_pipeline.dedup.dedup import HeldTexts
from data_pipeline.executors.local import Local
from data_pipeline.sources.batches import document_batch
from data_pipeline.stages.candidates import CandidateTexts
from data_pipeline.stages.view import Partition, View, batch_path, decision_path, keys_path
from data_pipeline.storage import write_arrays, write_batch

SIZES = (4, 0, 9, 1, 6)
GONE = (2, 13)
TEXTS = [" ".join(f"word{number}_{place}" for place in range(1 + number % 7)) for number in range(sum(SIZES))]


@pytest.fixture
def view(tmp_path: Path) -> View:
    partitions, start = [], 0
    for number, size in enumerate(SIZES):
        texts = [text.encode() for text in TEXTS[start : start + size]]
        batch = document_batch(number, list(range(size)), [b"id"] * size, texts, [b"{}"] * size)
        name = f"0000{number}-00000"
        content_hash = write_batch(batch_path(tmp_path, name), batch)
        rows = np.arange(size)
        write_arrays(keys_path(tmp_path, name), {"files": rows.astype(np.int32), "rows": rows, "sizes": rows})
        partitions.append(Partition(name, "web", size, 0, content_hash))
        start += size
    write_arrays(decision_path(tmp_path, "exact"), {"gone": np.array(GONE)})
    return View(tmp_path, partitions, ["file"]).after("exact")


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_rows_are_those_of_the_texts_asked_for(view: View, tmp_path: Path, workers: int) -> None:
    rng = random.Random(0)
    texts = [text for number, text in enumerate(TEXTS) if number not in GONE]
    held = HeldTexts(lambda at: [texts[position] for position in at.tolist()])
    with Local(workers) as executor:
        candidates = CandidateTexts(view, executor, tmp_path / "near")
        for number_chosen in (0, 1, 7, len(texts)):
            chosen = np.array(sorted(rng.sample(range(len(texts)), number_chosen)), np.int64)
            rows = candidates.measured(ShingleSets(2), chosen)
            asked = rng.choices(chosen.tolist(), k=30) if number_chosen else []
            positions = np.array(asked, np.int64)
            expected = held.measured(ShingleSets(2), chosen)(positions)
            found = rows(positions)
            assert [row.tolist() for row in found] == [row.tolist() for row in expected]
            assert candidates(positions) == held(positions)


def test_every_partition_is_read_once(view: View, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    original = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path) or original(path))  # type: ignore[func-returns-value]
    chosen = np.array([0, 2, 5, 8, 15])
    rows = CandidateTexts(view, Local(1), tmp_path / "near").measured(ShingleSets(2), chosen)
    for position in chosen[::-1]:
        rows(np.array([position]))
    assert len(read) == len(set(read)) == 3
