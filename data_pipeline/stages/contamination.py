"""What the corpus holds of every test item: decontamination/, for those who judge a model by these sets.

- `<set>.jsonl`: a line an item, in the set's order: its status, the most that a document holds, how many documents, and
  the ten that hold most with where it lies in them;
- `clean/<set>.jsonl` (`.txt`): the set's own records that are clean, byte by byte; `clean/<set>.rows.json`: their rows;
- `summary.json`: the sets in numbers, and how many planted copies were found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from data_pipeline.decontaminate.spans import Span, excerpt
from data_pipeline.decontaminate.testsets import TestItem
from data_pipeline.decontaminate.verdicts import CLEAN, STATUSES, Held, ItemCounts
from data_pipeline.stages.removed import Origin
from data_pipeline.storage import write_file

MOST_DOCUMENTS = 10  # of an item that are listed; all are counted
SUMMARY = "summary.json"
_LINE = orjson.OPT_APPEND_NEWLINE
Spans = dict[tuple[int, int], list[Span]]  # document and item -> where the one holds the other
Entry = dict[str, Any]  # what an item's line says of a document
Listed = dict[int, list[Entry]]  # item -> the documents that hold most of it


def chosen_rows(held: Held) -> np.ndarray:
    """Return the rows of the documents that are listed: of each item those that hold most of it, (m,) int64."""
    order = np.lexsort((held.documents, -held.coverage, held.items))
    _, firsts, counts = np.unique(held.items[order], return_index=True, return_counts=True)
    ranks = np.arange(len(order)) - np.repeat(firsts, counts)
    return order[ranks < MOST_DOCUMENTS]


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
    ids, files, rows, texts = (batch.column(name).to_pylist() for name in ("id", "file", "row", "text"))
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


def merge(into: Listed, more: Listed) -> None:
    """Add documents that come later in the corpus; of each item those that hold most of it stay."""
    for item, documents in more.items():
        both = [*into.get(item, []), *documents]
        into[item] = sorted(both, key=lambda document: -document["coverage"])[:MOST_DOCUMENTS]


def write_contamination(
    folder: Path, items: list[TestItem], statuses: list[str], counts: ItemCounts, listed: Listed
) -> Iterator[Path]:
    """Write the files of all sets but the summary; yield them.

    Args:
        folder: `decontamination`.
        items: those of a set one after the other.
        statuses: of the items.
    """
    numbered = list(zip(range(len(items)), items, statuses, strict=True))
    for name, members in groupby(numbered, key=lambda each: each[1].set):
        of_set = list(members)
        lines = (_line(number, item, status, counts, listed) for number, item, status in of_set)
        yield _written(folder / f"{name}.jsonl", b"".join(lines))
        if of_set[0][1].suffix:
            clean = [item for _, item, status in of_set if status == CLEAN]
            rows = [int(item.item) for item in clean]
            path = folder / CLEAN / f"{name}{of_set[0][1].suffix}"
            yield _written(path, b"".join(item.record for item in clean))
            yield _written(folder / CLEAN / f"{name}.rows.json", orjson.dumps(rows, option=_LINE))


def write_summary(folder: Path, summary: dict[str, Any]) -> Path:
    """Write summary.json: last, when all else is there."""
    return _written(folder / SUMMARY, orjson.dumps(summary, option=orjson.OPT_INDENT_2 | _LINE))


def by_set(items: list[TestItem], statuses: list[str]) -> dict[str, dict[str, int]]:
    """Return set -> status -> number of items."""
    counted = Counter((item.set, status) for item, status in zip(items, statuses, strict=True))
    names = dict.fromkeys(item.set for item in items)
    return {name: {status: counted[name, status] for status in STATUSES} for name in names}


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


def _line(number: int, item: TestItem, status: str, counts: ItemCounts, listed: Listed) -> bytes:
    content = {
        "set": item.set,
        "item": item.item,
        "status": status,
        "coverage": float(counts.coverage[number]),
        "num_contaminated": int(counts.contaminated[number]),
        "num_partial": int(counts.partial[number]),
        "documents": listed.get(number, []),
    }
    return orjson.dumps(content, option=_LINE)


def _written(path: Path, data: bytes) -> Path:
    write_file(path, data)
    return path
