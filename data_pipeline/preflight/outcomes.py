"""What became of each drawn cluster of documents, from the evidence of the probe's run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from data_pipeline.documents import COPY_SHIFT
from data_pipeline.ledger import Book
from data_pipeline.output_dir import QUARANTINE, REMOVED, WORK
from data_pipeline.preflight.drawn import Drawn
from data_pipeline.preflight.estimate import Clusters, Estimate
from data_pipeline.stages.augment import AUGMENT
from data_pipeline.stages.stage import Finished
from data_pipeline.stages.view import CLEAN, keys_path
from data_pipeline.storage import read_arrays, read_removed
from foundation.errors import GroundworkError

COLUMNS = ["source", "file", "row", "reason", "kept_file", "kept_row", "start"]
Reason = tuple[str, str]  # stage and reason


class OutcomesDisagree(GroundworkError):
    """The evidence of the probe's run tells of other documents than its ledger."""


@dataclass(slots=True)
class Outcomes:
    """What became of the documents of one source, by cluster.

    Attributes:
        clusters: their sizes.
        documents: (n,) float64, that were read, unreadable ones among them.
        text: (n,) float64, UTF-8 bytes of the texts that are left at the end, copies among them.
        removed: stage and reason -> (n,) float64 documents.
        created: stage -> (n,) float64 copies of these documents.
        pairs: stage -> duplicates whose original lies in another cluster, and in the same.
    """

    clusters: Clusters
    documents: np.ndarray
    text: np.ndarray
    removed: dict[Reason, np.ndarray] = field(default_factory=dict)
    created: dict[str, np.ndarray] = field(default_factory=dict)
    pairs: dict[str, list[int]] = field(default_factory=dict)

    def kept(self, stages: Sequence[str]) -> np.ndarray:
        """Return (n,) float64: the documents of the input that are left after these stages."""
        gone = [counts for (stage, _), counts in self.removed.items() if stage in stages]
        left: np.ndarray = self.documents - np.sum(gone, axis=0) if gone else self.documents
        return left

    def left(self, stages: Sequence[str]) -> Estimate:
        """Return how many documents the whole source has after these stages, copies among them."""
        kept = self.kept(stages)
        made = [counts for stage, counts in self.created.items() if stage in stages]
        if not made:
            return self.clusters.count(kept, self.documents)
        return self.clusters.total(kept + np.sum(made, axis=0))  # no share: there may be more than were read


class _Places:
    """Which cluster a document of a source lies in.

    Args:
        drawn: of the source; its clusters are its blocks, or its files where files were drawn.
    """

    def __init__(self, drawn: Drawn) -> None:
        self._first_rows: dict[str, list[int]] = {}
        self._numbers: dict[str, list[int]] = {}
        sizes: list[float] = []
        for block in drawn.blocks:
            rows = self._first_rows.setdefault(block.file, [])
            numbers = self._numbers.setdefault(block.file, [])
            rows.append(block.first_row)
            if drawn.by_file and numbers:
                numbers.append(numbers[0])
                sizes[numbers[0]] += block.size
            else:
                numbers.append(len(sizes))
                sizes.append(block.size)
        frac = 1.0 if drawn.is_all else min(drawn.size / max(drawn.whole, 1.0), 1.0)
        self.clusters = Clusters(np.array(sizes), drawn.whole, frac)

    def __call__(self, file: str, rows: np.ndarray) -> np.ndarray:
        """Return the cluster of each row of a file; -1 where the file is none of this source.

        Args:
            rows: (n,) int64.
        """
        if file not in self._first_rows:
            return np.full(len(rows), -1)
        places = np.searchsorted(self._first_rows[file], rows, side="right") - 1
        found: np.ndarray = np.array(self._numbers[file])[places]
        return found


def outcomes(folder: Path, drawn: Sequence[Drawn], stages: Sequence[Finished]) -> dict[str, Outcomes]:
    """Return source -> what became of its documents.

    Args:
        folder: the output folder of the finished probe.
        stages: that it did, in their order.
    Raises:
        OutcomesDisagree: the evidence is not what the ledger says.
    """
    places = {each.source.name: _Places(each) for each in drawn}
    facts = {stage.name: stage.facts for stage in stages}
    sizes = _Sizes(folder, facts[CLEAN]["partitions"], facts[CLEAN]["file_names"])
    copies = _Sizes(folder, facts[AUGMENT]["partitions"], facts[CLEAN]["file_names"], AUGMENT)
    found: dict[str, Outcomes] = {}
    for source, place in places.items():
        num = len(place.clusters.sizes)
        found[source] = Outcomes(place.clusters, np.zeros(num), np.zeros(num))
        for file, rows, num_bytes in sizes.of(source):
            np.add.at(found[source].documents, place(file, rows), 1)
            np.add.at(found[source].text, place(file, rows), num_bytes)
        for file, rows, num_bytes in copies.of(source):
            where = place(file, rows & (1 << COPY_SHIFT) - 1)
            np.add.at(found[source].created.setdefault(AUGMENT, np.zeros(num)), where, 1)
            np.add.at(found[source].text, where, num_bytes)
    for stage in stages:
        for source, file, row, reason in _unreadable(folder / QUARANTINE / stage.name):
            where = places[source](file, np.array([row]))
            np.add.at(found[source].documents, where, 1)
            np.add.at(_counts(found[source], (stage.name, f"{reason} (unreadable)")), where, 1)
        for each in _removed(folder / REMOVED / stage.name):
            _remove(found[each["source"]], places[each["source"]], sizes, stage.name, each)
        _check(stage.name, stage.book, found)
    return found


class _Sizes:
    """The documents that a stage wrote, by source and file, with the bytes of their texts."""

    def __init__(
        self, folder: Path, partitions: list[dict[str, Any]], file_names: list[str], stage: str = CLEAN
    ) -> None:
        self._of: dict[str, dict[str, list[tuple[np.ndarray, np.ndarray]]]] = {}
        self._by_row: dict[tuple[str, str], dict[int, int]] = {}
        for partition in partitions:
            arrays = read_arrays(keys_path(folder / WORK, partition["name"], stage))
            files = self._of.setdefault(partition["source"], {})
            for number in np.unique(arrays["files"]).tolist():
                mine = arrays["files"] == number
                pieces = files.setdefault(file_names[number], [])
                pieces.append((arrays["rows"][mine], arrays["sizes"][mine]))

    def of(self, source: str) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Yield file, rows and bytes."""
        for file, pieces in self._of.get(source, {}).items():
            for rows, sizes in pieces:
                yield file, rows, sizes

    def one(self, source: str, file: str, row: int) -> int:
        """Return the bytes of one document."""
        if (source, file) not in self._by_row:
            pieces = self._of[source][file]
            self._by_row[source, file] = {
                key: size for rows, sizes in pieces for key, size in zip(rows.tolist(), sizes.tolist(), strict=True)
            }
        return self._by_row[source, file][row]


def _unreadable(folder: Path) -> Iterator[tuple[str, str, int, str]]:
    for path in sorted(folder.rglob("*.jsonl")):
        for line in path.read_bytes().splitlines():
            record = orjson.loads(line)
            yield record["source"], record["file"], record["row"], record["reason"]


def _removed(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield what was removed as a whole; what was cut out of a document that stays is none of it."""
    for path in sorted(folder.rglob("*.parquet")):
        for row in read_removed(path, COLUMNS).to_pylist():
            if row["start"] is None:
                yield row


def _remove(found: Outcomes, place: _Places, sizes: _Sizes, stage: str, row: dict[str, Any]) -> None:
    (where,) = place(row["file"], np.array([row["row"]])).tolist()
    _counts(found, (stage, row["reason"]))[where] += 1
    found.text[where] -= sizes.one(row["source"], row["file"], row["row"])
    if row["kept_file"] is not None:
        (kept,) = place(row["kept_file"], np.array([row["kept_row"]])).tolist()
        found.pairs.setdefault(stage, [0, 0])[kept == where] += 1


def _counts(found: Outcomes, reason: Reason) -> np.ndarray:
    return found.removed.setdefault(reason, np.zeros(len(found.documents)))


def _check(stage: str, book: Book, found: dict[str, Outcomes]) -> None:
    """Raise unless the evidence counts what the ledger counts."""
    for source, account in book.items():
        made = int(found[source].created[stage].sum()) if stage in found[source].created else 0
        if made != account.created.total():
            raise OutcomesDisagree(
                f"preflight: {stage}, source {source!r}: {made} copies lie in the probe's folder, its ledger says "
                f"{account.created.total()}; this is a defect of groundwork, please report it"
            )
        seen = Counter({reason: int(n.sum()) for (where, reason), n in found[source].removed.items() if where == stage})
        if seen != account.reasons():
            raise OutcomesDisagree(
                f"preflight: {stage}, source {source!r}: the evidence of the probe counts {dict(seen)}, its ledger "
                f"{dict(account.reasons())}; this is a defect of groundwork, please report it"
            )
