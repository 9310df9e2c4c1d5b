"""The index of all test items, as workers share it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.decontaminate.index import NGramIndex
from data_pipeline.decontaminate.kernels import Table
from data_pipeline.stages.mapped import Mapped


class StoredIndex:
    """An index whose arrays are mapped, but for the table of code points, which doesn't grow with the items.

    Args:
        path: of the file that is written.
    """

    def __init__(self, path: Path, index: NGramIndex) -> None:
        table = {f"table.{name}": value for name, value in index.table._asdict().items() if np.ndim(value)}
        own = {name: getattr(index, name) for name in ("place_starts", "places", "item_firsts", "widths", "num_words")}
        self._shifts = {name: value for name, value in index.table._asdict().items() if not np.ndim(value)}
        self._arrays, self._points = Mapped(path, table | own), index.points

    @property
    def index(self) -> NGramIndex:
        """The index; made anew each time, of the same arrays."""
        arrays = dict(self._arrays.arrays)
        table: list[Any] = [
            self._shifts[name] if name in self._shifts else arrays.pop(f"table.{name}") for name in Table._fields
        ]
        return NGramIndex(Table(*table), **arrays, points=self._points)
