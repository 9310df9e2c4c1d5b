"""What turns a corpus into its tokenizer: trained on a sample of it, or given."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import numpy as np


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

    def sha256(self) -> dict[str, str]:
        """Return name -> sha256, in hexadecimal, of the files that a given tokenizer was read from."""
        return {}
