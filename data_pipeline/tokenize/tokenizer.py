"""The tokenizer of a corpus: trained on a sample of it, or given; and the encoder that turns documents into ids."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import orjson
import pyarrow as pa
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from data_pipeline.shards.index import dtype_for
from data_pipeline.tokenize.checks import added_texts, check, end_of_text, load, vocab_size
from data_pipeline.tokenize.engines import Engine, GigatokenEngine, TokenizersEngine
from data_pipeline.tokenize.errors import TokenizerError
from data_pipeline.tokenize.probe import probe_texts
from data_pipeline.tokenize.sample import choose
from foundation.errors import SettingError, require
from foundation.progress import Meter, progress

END_OF_TEXT = "<|endoftext|>"
NUM_BYTES = 256
# tokenizers counts pairs in 32 bits; a pair that occurs more often vanishes from the merges (its issue 2058). A text
# of this size can't hold more pairs.
MAX_SAMPLE_BYTES = (1 << 31) - 1
CHECKED_BYTES = 1 << 20  # of the sample, in the round trip after training


class TokenizerTrainer(ABC):
    """What `tokenizer=` builds.

    Attributes:
        eot_token: text of the special token that ends every document.
    """

    eot_token: str

    @abstractmethod
    def inputs(self) -> list[Path]:
        """Return the files whose bytes decide the result: when one changes, the stage is done anew.

        Raises:
            TokenizerError: a file is missing or can't be used; asked first, so that no work is done in vain.
        """

    @abstractmethod
    def choose(self, files: np.ndarray, rows: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """Choose the documents to train on.

        Args:
            files, rows: (n,) int32 and int64, the documents' keys.
            sizes: (n,) int64 UTF-8 bytes of their texts.
        Returns:
            (k,) int64 positions in the arguments, ascending.
        """

    @abstractmethod
    def train(self, texts: Iterator[str], total_bytes: int | None = None) -> bytes:
        """Return the bytes of tokenizer.json: the same texts give the same bytes.

        Args:
            texts: those of the chosen documents, in order.
            total_bytes: their UTF-8 bytes, for the progress.
        Raises:
            TokenizerError: the texts don't support the vocabulary, or the tokenizer would lose bytes.
        """


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
        if len(eot_token.encode()) < 2:
            raise SettingError(
                f"eot_token: {eot_token!r} is what a byte's own token may be called; "
                f"take a longer text that no document needs, e.g. {END_OF_TEXT}"
            )
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


class TokenizerFile(TokenizerTrainer):
    """A given tokenizer.json: a byte-level BPE tokenizer of any split. It is checked and used as it is.

    Args:
        path: of the file.
        eot_token: text of the special token that ends every document; the file must have it.
    """

    def __init__(self, path: str, eot_token: str = END_OF_TEXT) -> None:
        self.path, self.eot_token = Path(path).expanduser(), eot_token

    def inputs(self) -> list[Path]:
        self._checked(iter(()))
        return [self.path]

    def choose(self, files: np.ndarray, rows: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        return np.zeros(0, np.int64)

    def train(self, texts: Iterator[str], total_bytes: int | None = None) -> bytes:
        return self._checked(texts)

    def _checked(self, texts: Iterator[str]) -> bytes:
        """Return the file's bytes when it can be used, also on these texts."""
        if not self.path.is_file():
            raise TokenizerError(f"tokenizer.path: {self.path} is no file; name a tokenizer.json, or use tokenizer=bpe")
        tokenizer_json = self.path.read_bytes()
        check(tokenizer_json, self.eot_token, texts, f"tokenizer.path: {self.path}")
        return tokenizer_json


class Encoder:
    """Turns documents into token ids: ordinary text only, and one end-of-text token after each document.

    Which engine encodes is chosen when it is made: gigatoken where it is installed and gives the ids of tokenizers on
    every text of the probe. Both give the same bytes.

    Args:
        tokenizer_json: bytes of the file.
        eot_token: text of the end-of-text token.
        engine: `auto`, or one by name.
    Attributes:
        engine: `gigatoken` or `tokenizers`.
        engine_reason: why it is that one.
        eot_id, vocab_size, dtype: of the ids; uint16 where the vocabulary allows, else int32.
    Raises:
        TokenizerError: the file can't be read, has no such token, or the engine named can't be used.
    """

    def __init__(
        self,
        tokenizer_json: bytes,
        eot_token: str = END_OF_TEXT,
        engine: Literal["auto", "gigatoken", "tokenizers"] = "auto",
    ) -> None:
        tokenizer, record = load(tokenizer_json, "tokenizer.json"), orjson.loads(tokenizer_json)
        self.eot_id = end_of_text(tokenizer, eot_token, "tokenizer.json")
        self.vocab_size = vocab_size(tokenizer)
        self.dtype = dtype_for(self.vocab_size)
        self._engine: Engine = TokenizersEngine(tokenizer, record)
        self.engine_reason = "asked for"
        if engine != "tokenizers":
            fast, self.engine_reason = _gigatoken(record, self._engine)
            self._engine = fast or self._engine
        self.engine = self._engine.name
        if engine not in ("auto", self.engine):
            raise TokenizerError(
                f"the engine gigatoken can't be used: {self.engine_reason}; leave the choice to `auto`"
            )

    def describe(self) -> str:
        """Return which engine encodes, and why when it is the slow one."""
        is_fast = self.engine == GigatokenEngine.name
        return f"encoded by {self.engine}" + (", checked against tokenizers" if is_fast else f": {self.engine_reason}")

    def encode(self, texts: pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
        """Encode documents.

        Args:
            texts: their texts, without nulls.
        Returns:
            ids (num_tokens,) of `dtype`, end to end; lengths (len(texts),) int32, each with its end-of-text.
        Raises:
            TokenizerError: a text gives the end-of-text id itself.
        """
        ids, offsets = self._engine.encode(texts)
        if (ids == self.eot_id).any():
            document = int(np.searchsorted(offsets, np.argmax(ids == self.eot_id), side="right")) - 1
            raise TokenizerError(f"the text of document {document} of the batch gives the end-of-text id {self.eot_id}")
        ends = offsets[1:] + np.arange(len(texts))  # where the end-of-text tokens go
        out = np.empty(len(ids) + len(texts), self.dtype)
        is_text = np.ones(len(out), np.bool_)
        is_text[ends] = False
        out[is_text] = ids
        out[ends] = self.eot_id
        return out, (np.diff(offsets) + 1).astype(np.int32)


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


def _gigatoken(record: dict[str, object], reference: Engine) -> tuple[Engine | None, str]:
    """Return gigatoken's engine, or None, and the reason."""
    try:
        engine = GigatokenEngine(record)
    except ImportError as error:
        return None, f"gigatoken is not installed ({error}); pip install gigatoken"
    except Exception as error:  # whatever it refuses a tokenizer with, tokenizers takes it
        return None, f"gigatoken refuses this tokenizer ({error})"
    texts = probe_texts(added_texts(record))
    array = pa.array(texts, pa.large_string())
    (ids, offsets), (expected, bounds) = engine.encode(array), reference.encode(array)
    same = np.array_equal(offsets, bounds) and np.array_equal(ids, expected)
    if same:
        return engine, f"gives the ids of tokenizers on {len(texts)} texts of the probe"
    return None, f"gigatoken gives other ids than tokenizers on some of the {len(texts)} texts of the probe"


def _within(name: str, value: int, least: int, most: int, why: str) -> None:
    require(least <= value <= most, name, value, f"a number from {least:,} to {most:,} ({why})")
