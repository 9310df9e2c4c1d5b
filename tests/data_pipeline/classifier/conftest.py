"""Small files of good and bad examples, and the config of a training on them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.classifier.result import Result
from data_pipeline.classifier.train import check_config, run

COMMON = [
    "the",
    "and",
    "of",
    "to",
    "a",
    "in",
    "that",
    "it",
    "was",
    "for",
    "on",
    "with",
    "as",
    "at",
    "by",
    "from",
    "they",
    "we",
]
GOOD = ["theorem", "proof", "lemma", "integral", "measure", "compact", "kernel", "basis", "tensor", "module"]
BAD = ["casino", "bonus", "click", "winner", "jackpot", "cheap", "pills", "discount", "hurry", "subscribe"]
JSONL = "data_pipeline.sources.jsonl.Jsonl"


def texts_of(own: list[str], number: int, seed: int) -> list[str]:
    """Different texts of 30 words, five of them of this kind, one of the other."""
    rng = random.Random(seed)
    other = BAD if own is GOOD else GOOD
    texts = []
    for place in range(number):
        words = rng.choices(COMMON, k=24) + rng.choices(own, k=5) + rng.choices(other, k=1)
        rng.shuffle(words)
        texts.append(f"{' '.join(words)} {place}")
    return texts


@pytest.fixture(scope="session")
def write() -> Callable[..., Path]:
    """Write records, or texts, as JSON lines."""

    def write(path: Path, records: list[Any]) -> Path:
        whole = [record if isinstance(record, dict) else {"text": record} for record in records]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(record) + "\n" for record in whole))
        return path

    return write


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory, write: Callable[..., Path]) -> Path:
    """A folder with 3 files of good examples, and 2 of bad ones, fewer."""
    folder = tmp_path_factory.mktemp("examples")
    good, bad = texts_of(GOOD, 300, 1), texts_of(BAD, 120, 2)
    for number in range(3):
        write(folder / f"good{number}.jsonl", good[number::3])
    for number in range(2):
        write(folder / f"bad{number}.jsonl", bad[number::2])
    return folder


@pytest.fixture(scope="session")
def config() -> Callable[..., dict[str, Any]]:
    """The plain config of a training; keyword arguments are its keys."""

    def config(output_dir: Path, workers: int = 1, **keys: Any) -> dict[str, Any]:
        for key in ("good", "bad", "labelled"):
            if keys.get(key):
                keys[key] = {"_target_": JSONL, "paths": [str(path) for path in keys[key]]}
        executor = {"_target_": "data_pipeline.executors.local.Local", "workers": workers}
        return {"name": "x", "output_dir": str(output_dir), "executor": executor, "num_buckets": 1 << 12, **keys}

    return config


@pytest.fixture(scope="session")
def go() -> Callable[[dict[str, Any]], Result]:
    """Check a plain config and train by it."""
    return lambda tree: run(**check_config(tree))
