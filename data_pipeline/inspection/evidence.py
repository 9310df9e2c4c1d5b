"""What removed/ and clusters/ of a data folder say of one document that stayed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline.inspection.work import Work
from data_pipeline.output_dir import CLUSTERS, REMOVED
from data_pipeline.storage import DamagedFile, read_removed
from foundation.progress import Meter, progress

REPLACED = ("exact", "near")  # stages that remove a document for one that they keep
GONE_COLUMNS = ["id", "source", "file", "row", "reason", "similarity", "kept_id", "kept_file", "kept_row"]
SPAN_COLUMNS = ["id", "file", "row", "reason", "value", "test_item", "coverage", "start", "stop", "snippet"]
FEW = 50  # files of a partition each, which are read in a moment
CLUSTER_COLUMNS = ["id", "file", "row", "cluster", "kept"]


class Evidence:
    """Searches the tables of a data folder, a file at a time.

    Args:
        file, row, identifiers: of the document, by its input; one of these ids is its own.
        work: which knows the files that there should be; None: it is gone.
    """

    def __init__(self, data_dir: Path, file: str, row: int, identifiers: Sequence[str], work: Work | None) -> None:
        self._data_dir, self._work = data_dir, work
        self._keys = [{"file": file, "row": row, "id": each} for each in identifiers]

    def replaced(self, stage: str) -> list[dict[str, Any]]:
        """Return the documents that a stage removed because this one is there."""
        keys = [{f"kept_{name}": value for name, value in key.items()} for key in self._keys]
        return self._rows(REMOVED, stage, GONE_COLUMNS, keys)

    def spans(self, stage: str) -> list[dict[str, Any]]:
        """Return what a stage cut out of this document."""
        return self._rows(REMOVED, stage, SPAN_COLUMNS, self._keys)

    def cluster(self) -> tuple[int, int] | None:
        """Return the number of its cluster of near-duplicates, and how many documents that has; None: it is in none."""
        found = self._rows(CLUSTERS, REPLACED[-1], CLUSTER_COLUMNS, self._keys)
        if not found:
            return None
        label = found[0]["cluster"]
        return label, len(self._rows(CLUSTERS, REPLACED[-1], ["cluster"], [{"cluster": label}]))

    def missing(self, folder: str, stage: str) -> str:
        """Return why the tables of a stage may not tell all, in words; empty: they are all there.

        Args:
            folder: REMOVED or CLUSTERS.
        """
        place = self._data_dir / folder / stage
        if self._work is None:
            is_there = any(place.glob("*.parquet"))
            return "" if is_there else f"{place} has no table, and no work folder says whether it should have one"
        try:
            gone = [path for path in self._work.files(stage) if path.parent == place and not path.is_file()]
        except DamagedFile as error:
            return str(error)
        return f"{gone[0]} is missing" + (f", and {len(gone) - 1:,} more" if len(gone) > 1 else "") if gone else ""

    def _rows(self, folder: str, stage: str, columns: list[str], keys: list[dict[str, Any]]) -> list[dict[str, Any]]:
        paths = sorted((self._data_dir / folder / stage).glob("*.parquet"))
        if not paths:
            return []
        found: list[dict[str, Any]] = []
        with _shown(f"search {folder}/{stage}", len(paths)) as meter:
            for path in paths:
                table = read_removed(path, columns)
                for key in keys:
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
