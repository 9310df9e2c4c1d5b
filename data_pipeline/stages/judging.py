"""The work of decontamination on one partition: what its documents hold of test items, which of them go, and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from data_pipeline.decontaminate.decontaminator import Decontaminator
from data_pipeline.decontaminate.index import NGramIndex
from data_pipeline.decontaminate.planted import COPIES, planted_documents, planted_items
from data_pipeline.decontaminate.testsets import TestItem
from data_pipeline.decontaminate.verdicts import COMMON, TOO_SHORT, Found, Held, removals, removed_rows
from data_pipeline.documents import Removal
from data_pipeline.records import Part
from data_pipeline.stages.contamination import Listed, chosen_rows, describe
from data_pipeline.stages.removed import Origin, rows_of
from data_pipeline.stages.view import Slice, num_bytes
from data_pipeline.storage import read_arrays, write_arrays, write_file, write_removed


class Find:
    """Runs in a worker: writes which n-grams each document of a slice holds.

    Args:
        folder: of the stage in work/.
    """

    def __init__(self, decontaminator: Decontaminator, index: NGramIndex, folder: Path) -> None:
        self._decontaminator, self._index, self._folder = decontaminator, index, folder

    def __call__(self, piece: Slice) -> Part:
        texts = piece.texts()
        path = self._folder / f"find-{piece.partition.name}.npz"
        write_arrays(path, self._decontaminator.find(self._index, texts)._asdict())
        return Part({"utf8_bytes": num_bytes(texts)}, [path])


@dataclass(frozen=True, slots=True)
class Judging:
    """What verdicts follow from.

    Attributes:
        counting: (num_ngrams,) bool: which n-grams count.
        file_names: by file number.
    """

    decontaminator: Decontaminator
    index: NGramIndex
    counting: np.ndarray
    file_names: list[str]

    def judge(self, found: Found) -> tuple[Held, np.ndarray]:
        """Return what documents hold, and the rows of it for which documents go."""
        held = self.decontaminator.judge(self.index, self.counting, found)
        return held, removed_rows(held, self.decontaminator.min_coverage)

    def removals(self, held: Held, rows: np.ndarray) -> list[Removal]:
        """Return why the documents of these rows go."""
        return removals(held, rows, self.index.names, self.decontaminator.min_coverage)

    def find_planted(self, items: list[TestItem], statuses: list[str]) -> dict[str, dict[str, int]]:
        """Return kind -> how many copies of test items were planted in made-up documents, and how many these settings
        find. They are no part of the corpus."""
        places = planted_items(items, [status not in (TOO_SHORT, COMMON) for status in statuses])
        chosen = [items[place] for place in places]
        results: dict[str, dict[str, int]] = {}
        for kind in COPIES:
            found = self.decontaminator.find(self.index, planted_documents(chosen, kind))
            _, gone = self.judge(found)
            results[kind] = {"planted": len(chosen), "found": len(gone)}
        return results


class Judge:
    """Runs in a worker: writes what the documents of a slice hold, and the evidence of those that go.

    Args:
        folder: of the stage in work/.
        removed: its folder of evidence.
    """

    def __init__(self, work: Judging, folder: Path, removed: Path) -> None:
        self._work, self._folder, self._removed = work, folder, removed

    def __call__(self, piece: Slice) -> Part:
        name = piece.partition.name
        held, gone = self._work.judge(Found(**read_arrays(self._folder / f"find-{name}.npz")))
        listed: Listed = {}
        rows: list[dict[str, Any]] = []
        if len(held.items):
            listed, rows = self._evidence(piece, held, gone)
        path, listed_path = self._folder / f"judge-{name}.npz", self._folder / f"judge-{name}.listed"
        write_arrays(path, held._asdict())
        write_file(listed_path, orjson.dumps({str(item): documents for item, documents in listed.items()}))
        files = [path, listed_path, *write_removed(self._removed / f"{name}.parquet", rows)]
        reasons = [removal.reason for removal in self._work.removals(held, gone)]
        return Part({"gone": piece.indices()[held.documents[gone]].tolist(), "reasons": reasons}, files)

    def _evidence(self, piece: Slice, held: Held, gone: np.ndarray) -> tuple[Listed, list[dict[str, Any]]]:
        """Return what the items' lines say of these documents, and the evidence of those that go."""
        shown = np.union1d(chosen_rows(held), gone)
        documents, places = np.unique(held.documents[shown], return_inverse=True)
        batch = piece.load().take(pa.array(documents))
        origin = Origin(self._removed.name, piece.partition.source, self._work.file_names)
        here = Held(places, held.items[shown], held.coverage[shown])
        removed = np.searchsorted(shown, gone)
        leaving = set(places[removed].tolist())
        entries = describe(batch, here, self._work.index, self._work.counting, leaving, origin)
        removals = self._work.removals(here, removed)
        rows = rows_of(batch, removals, origin, [None] * len(removals))
        for row, removal, item in zip(rows, removals, here.items[removed].tolist(), strict=True):
            shown_text = entries[removal.position, item]["excerpt"]
            row |= {"snippet": shown_text, "test_snippet": self._work.index.begins[item]}
        listed: Listed = {}
        for (_, item), entry in entries.items():
            listed.setdefault(item, []).append(entry)
        return listed, rows
