"""The benchmark of the search alone gives both sides the same signatures, and both find what repeats."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest


@pytest.fixture(scope="module")
def dedup(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("dedup")


def test_one_document_in_ten_repeats_another(dedup: ModuleType, tmp_path: Path) -> None:
    dedup.make_signatures(tmp_path / "all", 20_000)
    dedup.make_signatures(tmp_path / "some", 9_000)
    rows = dedup.signatures(tmp_path / "all", 20_000)
    assert np.array_equal(dedup.signatures(tmp_path / "some", 9_000), rows[:9_000])
    _, counts = np.unique(rows, axis=0, return_counts=True)
    assert (len(counts), counts.max()) == (18_000, 2)
    assert np.array_equal(rows[19_999], rows[9_995])


@pytest.mark.slow
def test_both_sides_find_the_same(dedup: ModuleType, tmp_path: Path) -> None:
    dedup.make_signatures(tmp_path / "all", 3_000)
    options = argparse.Namespace(sizes=[3_000, 2_000], peer_sizes=[1_000], memory_bytes=[1 << 20], repeats=1)
    records = dedup.measure(options, tmp_path / "all")
    assert {run: record["found"] for run, (record,) in records.items()} == {
        (dedup.PEER, 1_000, 0): 200,
        ("groundwork", 3_000, 1 << 20): 600,
        ("groundwork", 2_000, 1 << 20): 400,
    }
    assert all(record["tree_mb"] >= record["before_mb"] > 20 for (record,) in records.values())
    assert "times the peer's at 1,000" in dedup.report(records)
