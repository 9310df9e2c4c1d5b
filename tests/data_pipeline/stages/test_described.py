from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.documents import SNIPPET_CHARS, from_texts
from data_pipeline.executors.local import Local
from data_pipeline.stages.described import Described, describe
from data_pipeline.stages.view import Partition, View, batch_path, keys_path
from data_pipeline.storage import write_arrays, write_batch


@pytest.fixture
def view(tmp_path: Path) -> View:
    """Three partitions of 4, 0 and 5 documents, long texts that begin with their row."""
    partitions = []
    for number, rows in enumerate((range(4), range(4, 4), range(4, 9))):
        batch = from_texts([f"{row} {'é' * 1000}" for row in range(9)]).slice(rows.start, len(rows))
        name = f"0000{number}-00000"
        batch_hash = write_batch(batch_path(tmp_path, name), batch)
        sizes = np.ones(len(rows), np.int64)
        keys = {"files": batch.column("file").to_numpy(), "rows": batch.column("row").to_numpy(), "sizes": sizes}
        write_arrays(keys_path(tmp_path, name), keys)
        partitions.append(Partition(name, "web", len(rows), len(rows), batch_hash))
    return View(tmp_path, partitions, ["a.jsonl"])


def rows_of(described: Described, indices: np.ndarray) -> list[tuple[int, str, str]]:
    table = described.places(indices).load()
    return [(row["row"], row["id"], row["text"]) for row in table.to_pylist()]


def test_what_is_described_is_found_in_any_order_and_repeated(view: View) -> None:
    indices = np.array([0, 2, 3, 4, 7, 8])
    described = describe(Local(workers=1), view, "near", indices)
    rng = random.Random(0)
    for size in (1, 6, 30):
        asked = np.array(rng.choices(indices.tolist(), k=size))
        expected = [(row, str(row), f"{row} {'é' * 1000}"[:SNIPPET_CHARS]) for row in asked.tolist()]
        assert rows_of(described, asked) == expected
    assert rows_of(described, np.zeros(0, np.int64)) == []
