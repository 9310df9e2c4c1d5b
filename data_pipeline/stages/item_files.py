"""What test items are called and what they say, on disk while documents are judged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline.decontaminate.index import ItemWords, words_of
from data_pipeline.decontaminate.testsets import HELD_OUT, TestItem
from data_pipeline.documents import SNIPPET_CHARS
from data_pipeline.stages.view import Slice
from data_pipeline.storage import write_file

_FIELDS = pa.schema([(name, pa.large_string()) for name in ("set", "item", "text")])
_ITEMS_AT_A_TIME = 10_000


class Written(NamedTuple):
    """A file of items, and what is known of them.

    Attributes:
        num_chars: (num_items,) int64, of their texts.
    """

    path: Path
    words: ItemWords
    num_chars: np.ndarray


def write_items(path: Path, sets: list[str], items: list[str], texts: pa.LargeStringArray) -> Written:
    """Write items: their sets, what they are called there, their texts."""
    batch = pa.record_batch([pa.array(sets, pa.large_string()), pa.array(items, pa.large_string()), texts], _FIELDS)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, _FIELDS) as writer:  # not compressed: single rows of it are asked for
        writer.write_batch(batch)
    write_file(path, memoryview(sink.getvalue()))
    return Written(path, words_of(texts), pc.utf8_length(texts).to_numpy())


class WriteHeldOut:
    """Runs in a worker: writes the held-out documents of a partition as items; to the parent go arrays.

    Args:
        folder: of the stage in work/.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, piece: Slice) -> Written:
        batch = piece.load()
        path = self._folder / f"items-{piece.partition.name}.arrow"
        return write_items(path, [HELD_OUT] * len(batch), batch.column("id").to_pylist(), batch.column("text"))


def write_named(path: Path, items: list[TestItem]) -> Written:
    """Write the items of the test sets."""
    texts = pa.array([item.text for item in items], pa.large_string())
    return write_items(path, [item.set for item in items], [item.item for item in items], texts)


class ItemFiles:
    """All items by number, in files that are mapped when they are asked. Small: it is sent to workers.

    Args:
        paths: of the files, in the items' order.
        counts: items of each.
    """

    def __init__(self, paths: list[Path], counts: list[int]) -> None:
        self._paths, self._firsts = paths, np.cumsum([0, *counts])

    def take(self, numbers: np.ndarray) -> list[TestItem]:
        """Return some items, with as much of their texts as there is.

        Args:
            numbers: (m,) int64, in any order.
        """
        return [TestItem(*row) for row in self._rows(numbers, whole=True)]

    def names_and_begins(self, numbers: np.ndarray) -> list[tuple[str, str]]:
        """Return `<set>#<item>` of some items and the beginnings of their texts; numbers: (m,) int64."""
        return [(f"{set_}#{item}", begin) for set_, item, begin in self._rows(numbers, whole=False)]

    def calls(self) -> Iterator[tuple[str, str, str]]:
        """Yield the set of each item, what it is called there, and the beginning of its text, in order."""
        for path, count in zip(self._paths, np.diff(self._firsts).tolist(), strict=True):
            for first in range(0, count, _ITEMS_AT_A_TIME):
                with pa.memory_map(str(path)) as source:
                    batch = pa.ipc.open_file(source).get_batch(0).slice(first, _ITEMS_AT_A_TIME)
                    begins = pc.utf8_slice_codeunits(batch.column("text"), 0, SNIPPET_CHARS)
                    columns = (batch.column("set"), batch.column("item"), begins)
                    rows = list(zip(*(column.to_pylist() for column in columns), strict=True))
                yield from rows

    def _rows(self, numbers: np.ndarray, whole: bool) -> list[tuple[str, str, str]]:
        rows: list[tuple[str, str, str]] = [("", "", "")] * len(numbers)
        files = np.searchsorted(self._firsts, numbers, side="right") - 1
        for file in np.unique(files).tolist():
            places = np.flatnonzero(files == file)
            with pa.memory_map(str(self._paths[file])) as source:
                batch = pa.ipc.open_file(source).get_batch(0)
                batch = batch.take(pa.array(numbers[places] - self._firsts[file]))
                texts = batch.column("text")
                texts = texts if whole else pc.utf8_slice_codeunits(texts, 0, SNIPPET_CHARS)
                columns = (batch.column("set"), batch.column("item"), texts)
                found = zip(*(column.to_pylist() for column in columns), strict=True)
                for place, row in zip(places.tolist(), found, strict=True):
                    rows[place] = row
        return rows
