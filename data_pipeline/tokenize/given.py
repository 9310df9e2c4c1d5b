"""A tokenizer that is given as a file: pinned, checked, and used as it is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data_pipeline.tokenize.checks import END_OF_TEXT, check
from data_pipeline.tokenize.pinned import checked_pin, read_pinned
from data_pipeline.tokenize.trainer import TokenizerTrainer
from foundation.files import nearest_existing


class GivenTokenizer(TokenizerTrainer):
    """What all that are given have in common: nothing is chosen, and the result is checked before the long work."""

    def inputs(self) -> list[Path]:
        tokenizer_json, paths, _ = self._read()
        check(tokenizer_json, self.eot_token, (), self._where())
        return paths

    def choose(self, files: np.ndarray, rows: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        return np.zeros(0, np.int64)

    def train(self, texts: Iterator[str], total_bytes: int | None = None) -> bytes:
        tokenizer_json, _, _ = self._read()
        check(tokenizer_json, self.eot_token, texts, self._where())
        return tokenizer_json

    def sha256(self) -> dict[str, str]:
        return self._read()[2]

    @abstractmethod
    def _read(self) -> tuple[bytes, list[Path], dict[str, str]]:
        """Return the bytes of tokenizer.json, the files that it was made of, and the sha256 of each by its name."""

    @abstractmethod
    def _where(self) -> str:
        """Return the key and file that errors name."""


class TokenizerFile(GivenTokenizer):
    """A given tokenizer.json that keeps every byte: byte-level (BPE, Unigram, WordPiece) or with byte fallback.

    Args:
        path: of the file.
        eot_token: text of the special token that ends every document; the file must have it.
        hash: sha256 of the file, as `sha256sum` prints it; None takes any file.
    Raises:
        SettingError: the hash is no sha256.
    """

    def __init__(self, path: str, eot_token: str = END_OF_TEXT, hash: str | None = None) -> None:  # noqa: A002
        self.path, self.eot_token, self._pin = Path(path).expanduser(), eot_token, checked_pin(hash)

    def _read(self) -> tuple[bytes, list[Path], dict[str, str]]:
        nearest = "" if self.path.is_file() else f"the nearest existing path is {nearest_existing(self.path)}; "
        instead = f"{nearest}name a tokenizer.json, or use tokenizer=bpe"
        data, found = read_pinned(self.path, self._pin, "tokenizer.path", "tokenizer.hash", instead)
        return data, [self.path], {self.path.name: found}

    def _where(self) -> str:
        return f"tokenizer.path: {self.path}"
