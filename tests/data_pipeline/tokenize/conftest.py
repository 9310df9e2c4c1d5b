"""What the tests of the tokenizer share: a text of some variety, a tokenizer trained on it, odd tokenizers."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from pydoc_data import topics
from typing import Any

import orjson
import pytest
import sentencepiece

from data_pipeline.tokenize.bpe import ByteLevelBPE

WORDS = "the of and to in is that it was for on are as with his they at be this from Füße naïve 東京 日本 def return"


@pytest.fixture(scope="session")
def corpus() -> list[str]:
    """200 documents of words and numbers that repeat, 30 kB."""
    rng = random.Random(5)
    words = [*WORDS.split(), *(str(rng.randrange(10_000)) for _ in range(40))]
    words += ["".join(rng.choices("abcdefgh", k=rng.randrange(3, 9))) for _ in range(150)]
    return [
        "".join(rng.choice(words) + rng.choice([" ", " ", " ", ", ", ".\n"]) for _ in range(rng.randrange(1, 50)))
        for _ in range(200)
    ]


@pytest.fixture(scope="session")
def trained(corpus: list[str]) -> bytes:
    return ByteLevelBPE(vocab_size=600).train(iter(corpus))


@pytest.fixture(scope="session")
def changed(trained: bytes) -> Callable[..., bytes]:
    """Return the trained tokenizer.json with some of its keys changed; dotted keys lead inside."""

    def change(**values: Any) -> bytes:
        record = orjson.loads(trained)
        for key, value in values.items():
            *path, last = key.split("__")
            node = record
            for part in path:
                node = node[part]
            node[last] = value
        return orjson.dumps(record)

    return change


@pytest.fixture(scope="session")
def real_text() -> str:
    """150 kB of Python's own documentation."""
    text = "\n\n".join(topics.topics[name] for name in sorted(topics.topics))
    return text[:150_000]


@pytest.fixture(scope="session")
def spm(tmp_path_factory: pytest.TempPathFactory, real_text: str) -> Callable[..., Path]:
    """Train a SentencePiece model on that text; lossless unless settings say otherwise, each but once."""
    folder, made = tmp_path_factory.mktemp("spm"), dict[str, Path]()
    (folder / "text.txt").write_text(real_text, encoding="utf-8")

    def train(**settings: Any) -> Path:
        key = repr(sorted(settings.items()))
        if key not in made:
            lossless = {"byte_fallback": True, "normalization_rule_name": "identity", "remove_extra_whitespaces": False}
            prefix = folder / str(len(made))
            sentencepiece.SentencePieceTrainer.train(
                input=str(folder / "text.txt"),
                model_prefix=str(prefix),
                num_threads=1,
                minloglevel=2,
                **{"vocab_size": 900, **lossless, **settings},
            )
            made[key] = prefix.with_suffix(".model")
        return made[key]

    return train
