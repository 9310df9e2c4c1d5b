"""Texts, tokenizers trained on them, and a comparison by a config."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.compare_tokenizers.compare import Result, check_config, run
from data_pipeline.tokenize.bpe import ByteLevelBPE

JSONL = "data_pipeline.sources.jsonl.Jsonl"


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """Documents in English, German and Russian, one of code."""
    english = "The merchant crossed {0} bridges before the winter market opened, and paid {0}37.5 each time."
    german = "Der Händler überquerte {0} Brücken, bevor der große Wintermarkt wieder öffnete."
    russian = "Купец перешёл {0} мостов, прежде чем снова открылась зимняя ярмарка."
    code = "def cross(bridges):\n    total = [{0}]\n    for b in bridges:\n        total[0] += b\n    return total\n"
    numbers = ((english, 40), (german, 25), (russian, 20), (code, 15))
    return [frame.format(number) for frame, count in numbers for number in range(count)]


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> Path:
    """A tokenizer.json of 540 tokens."""
    path = tmp_path_factory.mktemp("other") / "tokenizer.json"
    path.write_bytes(ByteLevelBPE(vocab_size=540).train(iter(texts * 3)))
    return path


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> Path:
    """One of 300."""
    path = tmp_path_factory.mktemp("small") / "small.json"
    path.write_bytes(ByteLevelBPE(vocab_size=300).train(iter(texts)))
    return path


@pytest.fixture(scope="session")
def compare() -> Callable[..., Result]:
    """Compare by a config; keyword arguments set its keys."""

    def compare(output_dir: Path, **changes: Any) -> Result:
        tree = {"name": "test", "output_dir": str(output_dir), "curve_bytes": 20_000, "d_models": [8, 16]}
        tree |= {"executor": {"_target_": "data_pipeline.executors.local.Local", "workers": 1}} | changes
        return run(**check_config(tree, {"corpus": "jsonl"}, ["corpus="] if "corpus" in changes else []))

    return compare


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> dict[str, Any]:
    """The config of a corpus of these texts."""
    path = tmp_path_factory.mktemp("corpus") / "docs.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return {"_target_": JSONL, "paths": [str(path)]}
