"""The work of decontamination on one partition: what its documents hold of test items, which of them go, and why."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from data_pipeline.decontaminate.cutting import spans_to_cut
from data_pipeline.decontaminate.decontaminator import Decontaminator
from data_pipeline.decontaminate.index import Counting, NGramIndex
from data_pipeline.decontaminate.planted import COPIES, planted_documents, planted_items
from data_pipeline.decontaminate.spans import Span, item_spans
from data_pipeline.decontaminate.testsets import TestItem
from data_pipeline.decontaminate.verdicts import COMMON, TOO_SHORT, Found, Held, removals, removed_rows
from data_pipeline.documents import Removal
from data_pipeline.records import Part
from data_pipeline.stages.contamination import Listed, Spans, chosen_rows, describe
from data_pipeline.stages.cuts import Cuts
from data_pipeline.stages.removed import Origin, rows_of
from data_pipeline.stages.view import Slice, num_bytes
from data_pipeline.storage import read_arrays, write_arrays, write_file, write_removed

CUT = "contaminated_sentences"  # the reason of a cut


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
        file_names: by file number.
    """

    decontaminator: Decontaminator
    index: NGramIndex
    counting: Counting
    file_names: list[str]

    def judge(self, found: Found) -> tuple[Held, np.ndarray]:
        """Return what documents hold, and the rows of it for which documents go."""
        held = self.decontaminator.judge(self.index, self.counting, found)
        return held, removed_rows(held, self.decontaminator.min_coverage)

    def holds_an_item(self, text: str) -> bool:
        """Return whether a document of this text would go."""
        found = self.decontaminator.find(self.index, pa.array([text], pa.large_string()))
        return len(self.judge(found)[1]) > 0

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


@dataclass(slots=True)
class _Verdict:
    """What becomes of the documents of a slice.

    Attributes:
        gone: places of those that go. cuts: place, start and stop of each piece that is cut out of another.
        listed: for the lines of the items. rows: the evidence.
    """

    gone: list[int] = field(default_factory=list)
    cuts: list[tuple[int, int, int]] = field(default_factory=list)
    listed: Listed = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)


class Judge:
    """Runs in a worker: writes what the documents of a slice hold, which of them go, what is cut, and the evidence.

    Args:
        folder: of the stage in work/.
        removed: its folder of evidence.
    """

    def __init__(self, work: Judging, folder: Path, removed: Path) -> None:
        self._work, self._folder, self._removed = work, folder, removed

    def __call__(self, piece: Slice) -> Part:
        name = piece.partition.name
        held, best = self._work.judge(Found(**read_arrays(self._folder / f"find-{name}.npz")))
        verdict = self._verdict(piece, held, best) if len(held.items) else _Verdict()
        path, listed_path = self._folder / f"judge-{name}.npz", self._folder / f"judge-{name}.listed"
        indices = piece.indices()
        documents, starts, stops = np.array(verdict.cuts, np.int64).reshape(-1, 3).T
        cuts = Cuts(indices[documents], starts, stops)
        write_arrays(path, {**held._asdict(), "gone": indices[np.array(verdict.gone, np.int64)], **cuts.arrays()})
        write_file(listed_path, orjson.dumps({str(item): entries for item, entries in verdict.listed.items()}))
        return Part({}, [path, listed_path, *write_removed(self._removed / f"{name}.parquet", verdict.rows)])

    def _verdict(self, piece: Slice, held: Held, best: np.ndarray) -> _Verdict:
        """Judge documents that hold something.

        Args:
            best: the rows of `held` for which documents go or are cut.
        """
        work = self._work
        holds = np.flatnonzero(held.coverage >= work.decontaminator.min_coverage)
        shown = np.union1d(chosen_rows(held), holds)
        documents, places = np.unique(held.documents[shown], return_inverse=True)
        batch = piece.load().take(pa.array(documents))
        here = Held(places, held.items[shown], held.coverage[shown])
        wanted = set(zip(here.documents.tolist(), here.items.tolist(), strict=True))
        spans = item_spans(work.index, work.counting.ngrams, work.index.find(batch.column("text")), wanted)
        removed: list[tuple[list[Removal], int]] = []
        in_documents: dict[int, list[Span]] = defaultdict(list)
        for row in np.searchsorted(shown, holds).tolist():
            in_documents[int(places[row])] += spans[int(places[row]), int(here.items[row])]
        best = np.searchsorted(shown, best)
        for removal, item in zip(work.removals(here, best), here.items[best].tolist(), strict=True):
            text = batch.column("text")[removal.position].as_py()
            pieces = self._pieces(text, in_documents[removal.position])
            removed.append(([replace(removal, reason=CUT, start=a, stop=b) for a, b in pieces] or [removal], item))
        return self._described(piece, batch, here, spans, removed, documents)

    def _pieces(self, text: str, spans: list[Span]) -> list[Span]:
        """Return what is cut out of a document; nothing where it goes as a whole."""
        if not self._work.decontaminator.max_cuts:
            return []
        pieces = spans_to_cut(text, spans)
        data = text.encode()
        left = b"".join(data[end:start] for (_, end), (start, _) in pairwise([(0, 0), *pieces, (len(data), 0)]))
        if len(pieces) > self._work.decontaminator.max_cuts or not left.strip():
            return []
        return [] if self._work.holds_an_item(left.decode()) else pieces  # what was apart may meet at a seam

    def _described(
        self,
        piece: Slice,
        batch: pa.RecordBatch,
        here: Held,
        spans: Spans,
        removed: list[tuple[list[Removal], int]],
        documents: np.ndarray,
    ) -> _Verdict:
        """Return the verdict with its evidence.

        Args:
            batch, here, spans: of the documents that are shown.
            removed: what goes of each document that holds an item, and the item held most.
            documents: of the slice, those in the batch.
        """
        verdict = _Verdict()
        origin = Origin(self._removed.name, piece.partition.source, self._work.file_names)
        gone = {each[0].position for each, _ in removed if each[0].start is None}
        cut = {each[0].position for each, _ in removed} - gone
        entries = describe(batch, here, spans, gone, cut, origin)
        for (_, item), entry in entries.items():
            verdict.listed.setdefault(item, []).append(entry)
        for of_document, item in removed:
            rows = rows_of(batch, of_document, origin, [None] * len(of_document))
            for row, removal in zip(rows, of_document, strict=True):
                if removal.start is None:
                    row["snippet"] = entries[removal.position, item]["excerpt"]
                    verdict.gone.append(int(documents[removal.position]))
                else:
                    assert removal.stop is not None
                    verdict.cuts.append((int(documents[removal.position]), removal.start, removal.stop))
                verdict.rows.append(row | {"test_snippet": self._work.index.begins[item]})
        return verdict
