"""What the table of tokens rests on: every side runs, gives our ids, and its figures stand in the table."""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

TEXTS = [" ".join(random.Random(seed).choices(["one", "two", "three", "0", "sowie"], k=90)) for seed in range(20)]


def test_other_ids_than_ours_are_seen(script: Callable[[str], ModuleType], tmp_path: Path) -> None:
    np.array([1, 2, 3, 4, 5], "<i4").tofile(tmp_path / "tokens.bin")
    np.array([2, 0, 3], "<i8").tofile(tmp_path / "lengths.bin")
    ours = {"0": np.array([1, 2], np.uint16), "1": np.zeros(0, np.uint16), "2": np.array([3, 4, 6], np.uint16)}
    assert script("tokens").compared(ours, tmp_path) == "2 of 3"


@pytest.mark.slow
def test_all_sides_are_measured_on_the_same_documents(
    script: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = script("tokens")
    monkeypatch.setattr(tokens, "WORKERS", 1)  # no processes to be started in each of its runs
    options = argparse.Namespace(
        repeats=1,
        bytes=60_000,
        peer_bytes=1 << 60,
        tokenizer=None,
        vocab_size=270,
        partition_bytes=1 << 14,
        note="a note",
    )
    title, speeds, _, verified, notes = tokens.measure(TEXTS, options, tmp_path)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in speeds.splitlines()[2:]]
    assert [row[0] for row in rows] == [tokens.OURS, *tokens.PEERS.values()]
    num_docs = title.partition(": ")[2].partition(" documents")[0]
    for row in rows[1:]:
        assert row[-1] == f"{num_docs} of {num_docs}"
    assert rows[1][4] == "1.0" and all(float(row[5].replace(",", "")) > 10 for row in rows)
    assert [line.split("|")[1].strip() for line in verified.splitlines()[2:]] == [
        "verify", "xxh3-128 of the .bin", "reading the .bin",
    ]  # fmt: skip
    assert notes.startswith("- a note")
