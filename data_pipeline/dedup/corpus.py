"""What the search for near-duplicates may ask of the corpus beside its features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from data_pipeline.dedup.sets import AnySets, Sets

MakeSets = Callable[[pa.LargeStringArray], Sets]


class Corpus(ABC):
    """The documents that are judged, by position.

    Attributes:
        threads: that the search may use in this process.
    """

    threads: int = 1

    @abstractmethod
    def texts_at(self, positions: np.ndarray) -> list[str]:
        """Return the texts at (m,) int64 positions: of a few documents, to show them."""

    @abstractmethod
    def sets_at(self, positions: np.ndarray, make: MakeSets) -> Sequence[AnySets]:
        """Return the shingle sets of documents, laid end to end: one pass over their texts, by all workers.

        Args:
            positions: (m,) int64, ascending.
            make: a pure function of texts; picklable.
        """

    @abstractmethod
    def on_disk(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Return an array for what memory has no room for."""


class TextsInMemory(Corpus):
    """A corpus small enough for it, such as a sample."""

    def __init__(self, texts: list[str]) -> None:
        self._texts = texts

    def texts_at(self, positions: np.ndarray) -> list[str]:
        return [self._texts[position] for position in positions.tolist()]

    def sets_at(self, positions: np.ndarray, make: MakeSets) -> Sequence[AnySets]:
        return [make(pa.array(self.texts_at(positions), pa.large_string()))]

    def on_disk(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        return np.empty(shape, dtype)
