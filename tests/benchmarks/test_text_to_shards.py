"""What the table of the whole pipeline rests on: the commands run, and their figures stand in it."""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.mark.slow
def test_both_tables_are_measured(
    script: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = script("text_to_shards")
    monkeypatch.setattr(whole, "WORKERS", 1)  # no processes to be started in each of its runs
    rng = random.Random(0)
    words = ["the", "of", "and", "to", *(f"word{number}" for number in range(400))]
    weights = [30, 20, 20, 20, *[1] * 400]
    texts = ["\n".join(" ".join(rng.choices(words, weights, k=12)) + "." for _ in range(20)) for _ in range(60)]
    options = argparse.Namespace(repeats=1, peers=False, peer_python="", partition_bytes=1 << 20, vocab_size=300)
    title, table, _, cleaned = whole.measure("words", texts, options, tmp_path)
    assert title.startswith("## words: 60 documents, 0.1 MB")
    assert "| groundwork |" in table
    small, large = cleaned.splitlines()[2:]
    assert float(small.split("|")[-2]) == 1
    assert 0.8 < float(large.split("|")[-2]) < 1.5
