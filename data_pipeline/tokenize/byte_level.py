"""What trainers of byte-level tokenizers share: settings, the sample, and the pieces of it, counted."""

from __future__ import annotations

import re
import tempfile
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from data_pipeline.shards.token_bytes import byte_chars
from data_pipeline.tokenize.checks import END_OF_TEXT, check
from data_pipeline.tokenize.counted import Counted
from data_pipeline.tokenize.counting import BYTES, RUNS, Adder, CountPart, batches, num_bytes, run_path
from data_pipeline.tokenize.merges import MOST, NUM_BYTE_TOKENS
from data_pipeline.tokenize.sample import choose
from data_pipeline.tokenize.split import SplitName
from data_pipeline.tokenize.trainer import Sample, TokenizerTrainer
from foundation.errors import SettingError, require
from foundation.progress import progress

CHECKED_CHARS = 1 << 18  # of the sample, in the round trip after training
LEAST_MEMORY_BYTES = 1 << 20
MOST_64 = (1 << 63) - 1
_EXAMPLE = "e.g. <|user|>"
# A letter before a mark: both splits cut here, whatever stands around. Of ASCII alone: its bytes are their own
# characters in a vocabulary, while two others there may be bytes of one letter of a text.
_CUT = re.compile(r"[A-Za-z][!-/:-@\[-^`{-~]")


class ByteLevelTrainer(TokenizerTrainer):
    """Trains a tokenizer whose alphabet is the 256 bytes: any text round-trips, there is no unknown token.

    Args:
        vocab_size: entries, the special tokens and the 256 bytes among them.
        split: how text is cut into pieces, which no token crosses: `gpt2`, or `cl100k` as GPT-4 and Llama 3 do.
        special_tokens: texts of further special tokens, whose ids follow that of the end-of-text token.
        sample_bytes: UTF-8 bytes of text to train on, documents chosen uniformly over the corpus.
        memory_bytes: that the counts of pieces may take in each process while they are counted; more goes to disk.
        eot_token: text of the end-of-text token; it gets id 0.
        seed: of the choice of the sample.
    Raises:
        SettingError: a value is out of its range, or a token's text is there twice, a byte's own or a word.
    """

    max_piece_bytes = 0  # longer pieces are cut after so many; 0 for no limit

    def __init__(
        self,
        vocab_size: int,
        split: SplitName,
        special_tokens: list[str] | None,
        sample_bytes: int,
        memory_bytes: int,
        eot_token: str,
        seed: int,
    ) -> None:
        self.eot_token, self.special_tokens = eot_token, list(special_tokens or [])
        allowed = f"two or more characters (one alone may be a byte's own token), e.g. {END_OF_TEXT}"
        require(len(eot_token) >= 2, "eot_token", eot_token, allowed)
        self._check_special()
        self._check_words()
        least = NUM_BYTE_TOKENS + 1 + len(self.special_tokens)
        within("vocab_size", vocab_size, least, MOST, "256 bytes and the special tokens at least; ids have 31 bits")
        within("sample_bytes", sample_bytes, 1, MOST_64, "bytes of text")
        within("memory_bytes", memory_bytes, LEAST_MEMORY_BYTES, MOST_64, "bytes of memory")
        within("seed", seed, 0, (1 << 64) - 1, "an unsigned 64-bit number")
        self.vocab_size, self.split = vocab_size, split
        self.sample_bytes, self.memory_bytes, self.seed = sample_bytes, memory_bytes, seed

    def inputs(self) -> list[Path]:
        return []

    def choose(self, files: np.ndarray, rows: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        return choose(files, rows, sizes, self.sample_bytes, self.seed)

    def train(self, texts: Iterator[str], total_bytes: int | None = None) -> bytes:
        first, counted_bytes = _First(texts), 0
        with tempfile.TemporaryDirectory() as folder:
            adder = Adder(self.memory_bytes, Path(folder))
            with progress("count pieces", total_bytes, "B", "text") as meter:
                for batch in batches(first):
                    adder.count(batch, self.split, self.max_piece_bytes)
                    counted_bytes += num_bytes(batch)
                    meter.add(num_bytes(batch))
            return self._learnt(adder.sum(), counted_bytes, first.kept)

    def train_on(self, sample: Sample) -> bytes:
        work, adder = (
            CountPart(self.split, self.memory_bytes, self.max_piece_bytes),
            Adder(self.memory_bytes, sample.folder),
        )
        with progress("count pieces", sample.num_bytes, "B", "text") as meter:
            for prefix, facts in sample.map(work):
                for number in range(facts[RUNS]):
                    adder.add(Counted.read(run_path(prefix, number)))
                meter.add(facts[BYTES])
        first = _First(sample.texts())
        for _ in first:
            if first.is_full:
                break
        return self._learnt(adder.sum(), sample.num_bytes, first.kept)

    @abstractmethod
    def _learnt(self, counted: Counted, sample_bytes: int, checked: list[str]) -> bytes:
        """Return tokenizer.json from the counts; checked: texts that must come back."""

    @property
    def _special(self) -> list[str]:
        """The texts of the special tokens, in the order of their ids."""
        return [self.eot_token, *self.special_tokens]

    @property
    def _keyed_special(self) -> list[tuple[str, str]]:
        """The same, each with its key."""
        return [("eot_token", self.eot_token), *(("special_tokens", each) for each in self.special_tokens)]

    def _finished(self, tokenizer: Tokenizer, checked: list[str]) -> bytes:
        """Return tokenizer.json, checked; tokenizer: with the special tokens in its vocabulary."""
        tokenizer.add_special_tokens(self._special)
        tokenizer_json: bytes = tokenizer.to_str(pretty=True).encode()
        check(tokenizer_json, self.eot_token, checked, "the trained tokenizer")
        return tokenizer_json

    def _check_special(self) -> None:
        wrong = dict.fromkeys(byte_chars(), f"is a byte's own token; give a longer text, {_EXAMPLE}")
        wrong |= {"": f"is empty; give a text, {_EXAMPLE}"}
        wrong |= {self.eot_token: "is eot_token already, whose id is 0; leave it out here"}
        for text in self.special_tokens:
            if text in wrong:
                raise SettingError(f"special_tokens: {text!r} {wrong[text]}")
            wrong[text] = "is there twice; give it once"

    def _check_words(self) -> None:
        """Refuse words: who encodes text with special tokens, as tokenizers does unasked, would find them in it."""
        for key, text in self._keyed_special:
            if all(char.isalnum() or char.isspace() for char in text):
                raise SettingError(
                    f"{key}: {text!r} is a word, which tokenizers would find in text and make the special token of; "
                    f"put signs around it, {_EXAMPLE}"
                )

    def _check_no_piece_holds_special(self) -> None:
        """Refuse a special token whose text may lie inside of a piece: a model that looks it up there would find it."""
        alphabet = set(byte_chars())
        for key, text in self._keyed_special:
            allowed = f"a text that is cut in two pieces: with a letter before a mark, of ASCII, e.g. {END_OF_TEXT}"
            require(_CUT.search(text) is not None or not alphabet.issuperset(text), key, text, allowed)


class _First:
    """Passes texts on and keeps the first of them, for the round trip after training."""

    def __init__(self, texts: Iterator[str]) -> None:
        self._texts = texts
        self.kept: list[str] = []
        self._room = CHECKED_CHARS

    @property
    def is_full(self) -> bool:
        return self._room <= 0

    def __iter__(self) -> Iterator[str]:
        for text in self._texts:
            if not self.is_full:
                self.kept.append(text[: self._room])
                self._room -= len(text)
            yield text


def within(name: str, value: int, least: int, most: int, why: str) -> None:
    """Refuse a constructor's number that is out of its range; why: what it counts, and what bounds it."""
    require(least <= value <= most, name, value, f"a number from {least:,} to {most:,} ({why})")
