"""What turns a corpus into its tokenizer: trained on a sample of it, or given."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from data_pipeline.records import Part


class PartWork(Protocol):
    """Work on the texts of one partition; picklable. Attributes: settings: JSON values that its result depends on."""

    settings: dict[str, Any]

    def __call__(self, texts: pa.LargeStringArray, prefix: Path) -> Part:
        """Do it; the names of its files begin with `prefix`."""


class Sample(ABC):
    """The documents that a tokenizer is trained on, partition by partition.

    Attributes:
        num_bytes: UTF-8 bytes of their texts.
        folder: for files, on the disk of the output.
    """

    num_bytes: int
    folder: Path

    @abstractmethod
    def texts(self) -> Iterator[str]:
        """Yield the texts, in order."""

    @abstractmethod
    def map(self, work: PartWork) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Yield (prefix, facts) of each partition, in order; workers do it, and what was done before stays."""


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

    def train_on(self, sample: Sample) -> bytes:
        """Return the same bytes; a trainer whose work falls into parts does these side by side."""
        return self.train(sample.texts(), sample.num_bytes)

    def sha256(self) -> dict[str, str]:
        """Return name -> sha256, in hexadecimal, of the files that a given tokenizer was read from."""
        return {}

    def libraries(self) -> tuple[str, ...]:
        """Return the packages whose versions decide the result, beside those that every tokenizer needs."""
        return ()
