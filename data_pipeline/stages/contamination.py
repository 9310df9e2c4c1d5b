"""What the corpus holds of every test item: decontamination/, for those who judge a model by these sets.

- `<set>.jsonl`: a line an item, in the set's order: its status, its words and how many of them count, the most of these
  that a document holds, how many documents, and the ten that hold most with where it lies in them;
- `clean/<set>.jsonl` (`.txt`): the set's own records that are clean, byte by byte; `clean/<set>.rows.json`: their rows;
- `summary.json`: the sets in numbers, and how many planted copies were found.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
import pyarrow as pa

from data_pipeline.decontaminate.spans import Span, excerpt
from data_pipeline.decontaminate.testsets import HELD_OUT, TestItem
from data_pipeline.decontaminate.verdicts import CLEAN, STATUSES, Held, ItemCounts
from data_pipeline.stages.removed import Origin
from data_pipeline.storage import read_arrays, room_for, write_arrays, write_file
from foundation.files import replacing

MOST_DOCUMENTS = 10  # of an item that are listed; all are counted
SUMMARY = "summary.json"
_ADDED = 1 << 20  # documents that wait to be compared with those kept
_LINE = orjson.OPT_APPEND_NEWLINE
Spans = dict[tuple[int, int], list[Span]]  # document and item -> where the one holds the other
Entry = dict[str, Any]  # what an item's line says of a document


def chosen_rows(held: Held) -> np.ndarray:
    """Return the rows of the documents that are listed: of each item those that hold most of it, (m,) int64."""
    order = np.lexsort((held.documents, -held.coverage, held.items))
    return order[_ranks(held.items[order]) < MOST_DOCUMENTS]


def describe(
    batch: pa.RecordBatch, held: Held, spans: Spans, gone: set[int], cut: set[int], origin: Origin
) -> dict[tuple[int, int], Entry]:
    """Return (document, item) -> what the item's line says of the document.

    Args:
        batch: documents.SCHEMA.
        held: of these documents, by their place in the batch.
        spans: of all that is held.
        gone, cut: documents that are removed, and those that sentences are cut out of.
    """
    pairs = list(zip(held.documents.tolist(), held.items.tolist(), strict=True))
    ids, files, rows = (batch.column(name).to_pylist() for name in ("id", "file", "row"))
    texts = batch.column("text").cast(pa.large_binary()).to_pylist()
    return {
        (document, item): {
            "id": ids[document],
            "source": origin.source,
            "file": origin.file_names[files[document]],
            "row": rows[document],
            "coverage": coverage,
            "removed": document in gone,
            "cut": document in cut,
            "spans": spans[document, item],
            "excerpt": excerpt(texts[document], spans[document, item][0][0]),
        }
        for (document, item), coverage in zip(pairs, held.coverage.tolist(), strict=True)
    }


def write_listed(folder: Path, partition: str, entries: list[tuple[int, float, Entry]]) -> list[Path]:
    """Write what items' lines say of the documents of a partition; return the files.

    Args:
        folder: of the stage in work/.
        entries: (item, coverage, what its line says of the document), in the corpus's order.
    """
    lines = [orjson.dumps(entry) for _, _, entry in entries]
    columns = {
        "items": np.array([item for item, _, _ in entries], np.int64),
        "coverage": np.array([coverage for _, coverage, _ in entries], np.float64),
        "stops": np.cumsum([len(line) for line in lines], dtype=np.int64),
    }
    text, arrays = _listed_path(folder, partition), _listed_path(folder, partition).with_suffix(".npz")
    write_file(text, b"".join(lines))
    write_arrays(arrays, columns)
    return [text, arrays]


class Listed:
    """Which documents items' lines name; what they say of them stays in the files of the partitions until it is asked.

    At most MOST_DOCUMENTS of an item, 36 bytes each, and those of the partitions added last.

    Args:
        folder: of the stage in work/.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._partitions: list[str] = []
        self._kept = [np.zeros(0, kind) for kind in (np.int64, np.float64, np.int32, np.int64, np.int64)]
        self._added: list[list[np.ndarray]] = []

    def add(self, partition: str) -> None:
        """Add the documents of a partition, which comes later in the corpus."""
        found = read_arrays(_listed_path(self._folder, partition).with_suffix(".npz"))
        stops = found["stops"]
        numbers = np.full(len(stops), len(self._partitions), np.int32)
        self._partitions.append(partition)
        self._added.append([found["items"], found["coverage"], numbers, np.append(0, stops)[: len(stops)], stops])
        if sum(len(columns[0]) for columns in self._added) > max(_ADDED, len(self._kept[0])):
            self._choose()

    def _choose(self) -> None:
        """Of each item those that hold most of it stay, the first of several; by item."""
        columns = [np.concatenate(column) for column in zip(self._kept, *self._added, strict=True)]
        order = np.lexsort((np.arange(len(columns[0])), -columns[1], columns[0]))
        order = order[_ranks(columns[0][order]) < MOST_DOCUMENTS]
        self._kept, self._added = [column[order] for column in columns], []

    def of_items(self, num_items: int) -> Iterator[list[bytes]]:
        """Yield, for each item, what its line says of documents, those that hold most of it first: JSON."""
        self._choose()
        items, _, numbers, starts, stops = self._kept
        firsts = np.searchsorted(items, np.arange(num_items + 1)).tolist()
        for first, last in pairwise(firsts):
            rows = zip(*(column[first:last].tolist() for column in (numbers, starts, stops)), strict=True)
            yield [self._read(number, start, stop) for number, start, stop in rows]

    def _read(self, number: int, start: int, stop: int) -> bytes:
        with _listed_path(self._folder, self._partitions[number]).open("rb") as file:
            file.seek(start)
            return file.read(stop - start)


def _listed_path(folder: Path, partition: str) -> Path:
    return folder / f"listed-{partition}.jsons"


def _ranks(groups: np.ndarray) -> np.ndarray:
    """Return the place of each row in its group; groups: (m,) int64, ascending."""
    _, firsts, counts = np.unique(groups, return_index=True, return_counts=True)
    ranks: np.ndarray = np.arange(len(groups)) - np.repeat(firsts, counts)
    return ranks


class Known(NamedTuple):
    """What is known of all items, by number.

    Attributes:
        statuses: (num_items,) int8, places in STATUSES.
        words, counted: (num_items,) int64: its words, and those of them that lie in an n-gram which counts.
        frequencies: (num_items,) int64: in how many documents each of its n-grams is, at least.
    """

    statuses: np.ndarray
    counts: ItemCounts
    words: np.ndarray
    counted: np.ndarray
    frequencies: np.ndarray


def write_contamination(
    folder: Path, items: list[TestItem], calls: Iterable[tuple[str, str, str]], known: Known, listed: Listed
) -> Iterator[Path]:
    """Write the files of all sets but the summary; yield them. Lines are written as they are made.

    Args:
        folder: `decontamination`.
        items: of the test sets, those of a set one after the other.
        calls: of all items, the held-out ones behind the others: the set, what it is called there, how it begins.
    """
    numbered = zip(enumerate(calls), listed.of_items(len(known.statuses)), strict=True)
    for name, members in groupby(numbered, key=lambda each: each[0][1][0]):
        lines = (_line(number, call, known, entries) for (number, call), entries in members)
        yield _written(folder / f"{name}.jsonl", lines)
    is_clean = known.statuses == STATUSES.index(CLEAN)
    for name, of_set in groupby(zip(items, is_clean[: len(items)].tolist(), strict=True), key=lambda each: each[0].set):
        both = list(of_set)
        clean = [item for item, is_so in both if is_so]
        yield _written(folder / CLEAN / f"{name}{both[0][0].suffix}", (item.record for item in clean))
        rows = [int(item.item) for item in clean]
        yield _written(folder / CLEAN / f"{name}.rows.json", [orjson.dumps(rows, option=_LINE)])


def write_summary(folder: Path, summary: dict[str, Any]) -> Path:
    """Write summary.json: last, when all else is there."""
    return _written(folder / SUMMARY, [orjson.dumps(summary, option=orjson.OPT_INDENT_2 | _LINE)])


def by_set(items: list[TestItem], statuses: np.ndarray) -> dict[str, dict[str, int]]:
    """Return set -> status -> number of items.

    Args:
        items: of the test sets.
        statuses: (num_items,) int8, of these, and of the held-out documents behind them.
    """
    sets = [item.set for item in items]
    places: dict[str, tuple[int, int]] = {}
    for at, name in enumerate(sets):
        places[name] = (places.get(name, (at, at))[0], at + 1)
    if len(statuses) > len(items):
        places[HELD_OUT] = (len(items), len(statuses))
    return {
        name: dict(zip(STATUSES, np.bincount(statuses[first:stop], minlength=len(STATUSES)).tolist(), strict=True))
        for name, (first, stop) in places.items()
    }


def in_words(sets: dict[str, dict[str, int]], most: int = 3) -> str:
    """Return the sets in a line: `gsm8k: 6 contaminated, 3 partial, 1,310 clean; ...`."""
    lines = []
    for name, counts in list(sets.items())[:most]:
        always = STATUSES[:3]
        shown = {status: count for status, count in counts.items() if count or status in always}
        numbers = (f"{count:,} {status.replace('_', ' ')}" for status, count in shown.items())
        lines.append(f"{name}: {', '.join(numbers)}")
    more = len(sets) - most
    return "; ".join([*lines, *([f"{more} more sets in decontamination/{SUMMARY}"] if more > 0 else [])])


def _line(number: int, call: tuple[str, str, str], known: Known, entries: list[bytes]) -> bytes:
    name, item, begin = call
    content = {
        "set": name,
        "item": item,
        "text": begin,
        "status": STATUSES[known.statuses[number]],
        "words": int(known.words[number]),
        "counted_words": int(known.counted[number]),
        "document_frequency": int(known.frequencies[number]),
        "coverage": float(known.counts.coverage[number]),
        "num_contaminated": int(known.counts.contaminated[number]),
        "num_partial": int(known.counts.partial[number]),
        "documents": [orjson.Fragment(entry) for entry in entries],
    }
    return orjson.dumps(content, option=_LINE)


def _written(path: Path, lines: Iterable[bytes]) -> Path:
    """Write a file line by line: complete or absent."""
    with room_for(path), replacing(path) as temporary, temporary.open("wb") as file:
        file.writelines(lines)
    return path
