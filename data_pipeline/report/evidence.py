"""What the page shows of the documents that were removed: a few of each reason, spread over the whole corpus."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline.output_dir import QUARANTINE, REMOVED
from data_pipeline.storage import read_removed

T = TypeVar("T")
MAX_FILES = 64  # of one stage that are opened: enough for samples of a corpus of any size
PER_REASON = 8


@dataclass(frozen=True, slots=True)
class Removed:
    """A removed document, the fields of its row that apply; None where one does not."""

    id: str
    source: str
    stage: str
    reason: str
    rule: str | None
    value: float | None
    threshold: float | None
    kept_id: str | None
    similarity: float | None
    test_item: str | None
    coverage: float | None
    snippet: str
    kept_snippet: str | None
    test_snippet: str | None


def removed_samples(output_dir: Path, stage: str, per_reason: int = PER_REASON) -> dict[str, list[Removed]]:
    """Return documents that a stage removed, by reason, the reason with most of them first.

    Args:
        output_dir: of the pipeline.
        per_reason: how many of each.
    Raises:
        DamagedFile: a file is not what was written.
    """
    files = spread(sorted((output_dir / REMOVED / stage).rglob("*.parquet")), MAX_FILES)
    candidates: dict[str, list[dict[str, Any]]] = {}
    counts: dict[str, int] = {}
    for path in files:
        table = read_removed(path, list(Removed.__slots__))
        for reason in pc.unique(table["reason"]).to_pylist():
            rows = np.flatnonzero(pc.equal(table["reason"], reason).to_numpy(zero_copy_only=False))
            counts[reason] = counts.get(reason, 0) + len(rows)
            candidates.setdefault(reason, []).extend(
                table.take(pa.array(spread(rows.tolist(), per_reason))).to_pylist()
            )
    order = sorted(candidates, key=lambda reason: (-counts[reason], reason))
    return {reason: [Removed(**row) for row in spread(candidates[reason], per_reason)] for reason in order}


def quarantined_samples(output_dir: Path, most: int) -> list[dict[str, Any]]:
    """Return unreadable records as their files hold them: file, row, offset_bytes, reason, text.

    Args:
        output_dir: of the pipeline.
        most: how many.
    """
    found: list[dict[str, Any]] = []
    for path in spread(sorted((output_dir / QUARANTINE).rglob("*.jsonl")), MAX_FILES):
        with path.open("rb") as file:
            found += [orjson.loads(line) for line, _ in zip(file, range(most), strict=False)]
    return spread(found, most)


def spread(items: list[T], most: int) -> list[T]:
    """Return at most `most` items, evenly spread, the first among them."""
    if len(items) <= most:
        return items
    return [items[i * len(items) // most] for i in range(most)]
