"""What removed/ and clusters/ of a data folder say of one document that stayed."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline.output_dir import CLUSTERS, REMOVED
from data_pipeline.storage import read_removed
from foundation.progress import Meter, progress

REPLACED = ("exact", "near")  # stages that remove a document for one that they keep
SPANS = ("paragraphs", "decontaminate")
GONE_COLUMNS = ["id", "source", "file", "row", "reason", "similarity", "kept_id", "kept_file", "kept_row"]
SPAN_COLUMNS = ["id", "file", "row", "reason", "value", "test_item", "coverage", "start", "stop", "snippet"]
FEW = 50  # files of a partition each, which are read in a moment
CLUSTER_COLUMNS = ["id", "file", "row", "cluster", "kept"]


class Evidence:
    """Searches the tables of a data folder, a file at a time.

    Args:
        file, row, identifier: of the document, by its input.
    """

    def __init__(self, data_dir: Path, file: str, row: int, identifier: str) -> None:
        self._data_dir, self._key = data_dir, {"file": file, "row": row, "id": identifier}

    def replaced(self) -> dict[str, list[dict[str, Any]]]:
        """Return, by stage, the documents that went because this one is there."""
        kept = {f"kept_{name}": value for name, value in self._key.items()}
        return {stage: self._rows(REMOVED, stage, GONE_COLUMNS, kept) for stage in REPLACED}

    def spans(self) -> dict[str, list[dict[str, Any]]]:
        """Return, by stage, what was cut out of this document."""
        return {stage: self._rows(REMOVED, stage, SPAN_COLUMNS, self._key) for stage in SPANS}

    def cluster(self) -> tuple[int, int] | None:
        """Return the number of its cluster of near-duplicates, and how many documents that has; None: it is in none."""
        found = self._rows(CLUSTERS, REPLACED[-1], CLUSTER_COLUMNS, self._key)
        if not found:
            return None
        label = found[0]["cluster"]
        return label, len(self._rows(CLUSTERS, REPLACED[-1], ["cluster"], {"cluster": label}))

    def _rows(self, folder: str, stage: str, columns: list[str], key: dict[str, Any]) -> list[dict[str, Any]]:
        paths = sorted((self._data_dir / folder / stage).glob("*.parquet"))
        if not paths:
            return []
        found: list[dict[str, Any]] = []
        with _shown(f"search {folder}/{stage}", len(paths)) as meter:
            for path in paths:
                table = read_removed(path, columns)
                found += table.filter(_equal(table, key)).to_pylist()
                meter.add(1)
        return found


def _shown(label: str, num_files: int) -> AbstractContextManager[Meter]:
    """Return a meter, which is seen only where the search takes its time."""
    return progress(label, num_files, "files") if num_files > FEW else nullcontext(Meter(label, num_files, "files"))


def _equal(table: pa.Table, key: dict[str, Any]) -> pa.ChunkedArray:
    """Return which rows have these values, (rows,) bool."""
    masks = [
        pc.fill_null(pc.equal(table[name], pa.scalar(value, table[name].type)), False) for name, value in key.items()
    ]
    mask = masks[0]
    for other in masks[1:]:
        mask = pc.and_(mask, other)
    return mask
