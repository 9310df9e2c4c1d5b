"""Byte-level BPE, trained on a sample of the corpus."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from data_pipeline.tokenize.checks import END_OF_TEXT, check
from data_pipeline.tokenize.errors import TokenizerError
from data_pipeline.tokenize.sample import choose
from data_pipeline.tokenize.trainer import TokenizerTrainer
from foundation.errors import require
from foundation.progress import Meter, progress

NUM_BYTES = 256
# tokenizers counts pairs in 32 bits; a pair that occurs more often vanishes from the merges (its issue 2058). A text
# of this size can't hold more pairs.
MAX_SAMPLE_BYTES = (1 << 31) - 1
CHECKED_BYTES = 1 << 20  # of the sample, in the round trip after training


class ByteLevelBPE(TokenizerTrainer):
    """Byte-level BPE with GPT-2's split: any text round-trips, there is no unknown token.

    Args:
        vocab_size: entries, the end-of-text token and the 256 bytes among them.
        min_frequency: occurrences in the sample that a pair needs to be merged.
        sample_bytes: UTF-8 bytes of text to train on, documents chosen uniformly over the corpus.
        eot_token: text of the end-of-text token; it gets id 0.
        seed: of the choice of the sample.
    Raises:
        SettingError: a value is out of its range.
    """

    def __init__(
        self,
        vocab_size: int = 16384,
        min_frequency: int = 2,
        sample_bytes: int = 100_000_000,
        eot_token: str = END_OF_TEXT,
        seed: int = 0,
    ) -> None:
        _within("vocab_size", vocab_size, NUM_BYTES + 1, (1 << 31) - 1, "256 bytes and the end-of-text token")
        _within("min_frequency", min_frequency, 1, MAX_SAMPLE_BYTES, "occurrences of a pair")
        _within("sample_bytes", sample_bytes, 1, MAX_SAMPLE_BYTES, "above it tokenizers' 32-bit counts wrap")
        _within("seed", seed, 0, (1 << 64) - 1, "an unsigned 64-bit number")
        allowed = f"two or more characters (one alone may be a byte's own token), e.g. {END_OF_TEXT}"
        require(len(eot_token) >= 2, "eot_token", eot_token, allowed)
        self.vocab_size, self.min_frequency, self.sample_bytes = vocab_size, min_frequency, sample_bytes
        self.eot_token, self.seed = eot_token, seed

    def inputs(self) -> list[Path]:
        return []

    def choose(self, files: np.ndarray, rows: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        return choose(files, rows, sizes, self.sample_bytes, self.seed)

    def train(self, texts: Iterator[str], total_bytes: int | None = None) -> bytes:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=self.vocab_size,
            min_frequency=self.min_frequency,
            special_tokens=[self.eot_token],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        sample = _Sample(texts)
        with progress("train tokenizer", total_bytes, "B", "text") as meter:
            tokenizer.train_from_iterator(sample.read(meter), trainer)
        tokenizer_json: bytes = tokenizer.to_str(pretty=True).encode()
        self._check_size(tokenizer_json, sample.num_bytes)
        check(tokenizer_json, self.eot_token, sample.kept, "the trained tokenizer")
        return tokenizer_json

    def _check_size(self, tokenizer_json: bytes, num_bytes: int) -> None:
        model = orjson.loads(tokenizer_json)["model"]
        size = len(model["vocab"])
        if size < self.vocab_size:
            raise TokenizerError(
                f"tokenizer.vocab_size: {self.vocab_size} is more than the text supports: {len(model['merges'])} "
                f"merges occur at least {self.min_frequency} times in the sample of {num_bytes:,} bytes, which makes a "
                f"vocabulary of {size}; set tokenizer.vocab_size={size} or less, or give more text"
            )


class _Sample:
    """Passes the texts on, counts them, and keeps the first for the round trip."""

    def __init__(self, texts: Iterator[str]) -> None:
        self._texts = texts
        self.kept: list[str] = []
        self.num_bytes = 0

    def read(self, meter: Meter) -> Iterator[str]:
        for text in self._texts:
            size = len(text.encode())
            if self.num_bytes < CHECKED_BYTES:
                self.kept.append(text[: CHECKED_BYTES - self.num_bytes])
            self.num_bytes += size
            meter.add(size)
            yield text


def _within(name: str, value: int, least: int, most: int, why: str) -> None:
    require(least <= value <= most, name, value, f"a number from {least:,} to {most:,} ({why})")
