"""A tokenizer that is given as a file: checked, and used as it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data_pipeline.tokenize.checks import END_OF_TEXT, check
from data_pipeline.tokenize.errors import TokenizerError
from data_pipeline.tokenize.trainer import TokenizerTrainer


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
