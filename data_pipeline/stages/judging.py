"""The work of decontamination on one partition: what its documents hold of test items, which of them go, and why."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from data_pipeline.decontaminate.cutting import spans_to_cut
from data_pipeline.decontaminate.decontaminator import Decontaminator
from data_pipeline.decontaminate.index import Counting, NGramIndex
from data_pipeline.decontaminate.planted import COPIES, planted_documents
from data_pipeline.decontaminate.spans import Span, item_spans
from data_pipeline.decontaminate.testsets import TestItem
from data_pipeline.decontaminate.verdicts import Found, Held, removals, removed_rows
from data_pipeline.documents import Removal
from data_pipeline.records import Part
from data_pipeline.stages.contamination import Entry, Spans, chosen_rows, describe, write_listed
from data_pipeline.stages.cuts import Cuts
from data_pipeline.stages.item_files import ItemFiles
from data_pipeline.stages.mapped import Mapped
from data_pipeline.stages.removed import Origin, rows_of
from data_pipeline.stages.stored_index import StoredIndex
from data_pipeline.stages.view import Slice, num_bytes
from data_pipeline.storage import read_arrays, write_arrays, write_removed

CUT = "contaminated_sentences"  # the reason of a cut


def find_path(folder: Path, partition: str) -> Path:
    """Return the file of the n-grams that a partition's documents hold."""
    return folder / f"find-{partition}.npz"


def judge_path(folder: Path, partition: str) -> Path:
    """Return the file of what a partition's documents hold of items, and of the verdicts."""
    return folder / f"judge-{partition}.npz"


class Find:
    """Runs in a worker: writes which n-grams each document of a slice holds.

    Args:
        folder: of the stage in work/.
    """

    def __init__(self, decontaminator: Decontaminator, stored: StoredIndex, folder: Path) -> None:
        self._decontaminator, self._stored, self._folder = decontaminator, stored, folder

    def __call__(self, piece: Slice) -> Part:
        texts = piece.texts()
        path = find_path(self._folder, piece.partition.name)
        write_arrays(path, self._decontaminator.find(self._stored.index, texts)._asdict())
        return Part({"utf8_bytes": num_bytes(texts)}, [path])


@dataclass(frozen=True, slots=True)
class Judging:
    """What verdicts follow from. What grows with the items is mapped: it travels to workers as the names of files.

    Attributes:
        marks: of `Counting`.
        items: what they are called.
        file_names: by file number.
    """

    decontaminator: Decontaminator
    stored: StoredIndex
    marks: Mapped
    items: ItemFiles
    file_names: list[str]

    @property
    def index(self) -> NGramIndex:
        """The n-grams of all items."""
        return self.stored.index

    @property
    def counting(self) -> Counting:
        """Which n-grams count."""
        return Counting(**self.marks.arrays)

    def judge(self, found: Found) -> tuple[Held, np.ndarray]:
        """Return what documents hold, and the rows of it for which documents go."""
        held = self.decontaminator.judge(self.index, self.counting, found)
        return held, removed_rows(held)

    def holds_an_item(self, text: str) -> bool:
        """Return whether a document of this text would go."""
        found = self.decontaminator.find(self.index, pa.array([text], pa.large_string()))
        return len(self.judge(found)[1]) > 0

    def find_planted(self, items: list[TestItem]) -> dict[str, dict[str, int]]:
        """Return kind -> how many copies of test items were planted in made-up documents, and how many these settings
        find. They are no part of the corpus."""
        results: dict[str, dict[str, int]] = {}
        for kind in COPIES:
            found = self.decontaminator.find(self.index, planted_documents(items, kind))
            _, gone = self.judge(found)
            results[kind] = {"planted": len(items), "found": len(gone)}
        return results


@dataclass(slots=True)
class _Verdict:
    """What becomes of the documents of a slice.

    Attributes:
        gone: places of those that go. cuts: place, start and stop of each piece that is cut out of another.
        listed: for the lines of the items: item, coverage, what its line says. rows: the evidence.
    """

    gone: list[int] = field(default_factory=list)
    cuts: list[tuple[int, int, int]] = field(default_factory=list)
    listed: list[tuple[int, float, Entry]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)


class _Removed(NamedTuple):
    """What goes of a document that holds an item.

    Attributes:
        removals: one, or one for each piece that is cut.
        item: the one held most. begin: of its text.
    """

    removals: list[Removal]
    item: int
    begin: str

    @property
    def position(self) -> int:
        """The document, in the batch."""
        return self.removals[0].position

    @property
    def is_cut(self) -> bool:
        """Whether the document stays without these pieces."""
        return self.removals[0].start is not None


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
        held, best = self._work.judge(Found(**read_arrays(find_path(self._folder, name))))
        verdict = self._verdict(piece, held, best) if len(held.items) else _Verdict()
        path = judge_path(self._folder, name)
        indices = piece.indices()
        documents, starts, stops = np.array(verdict.cuts, np.int64).reshape(-1, 3).T
        cuts = Cuts(indices[documents], starts, stops)
        write_arrays(path, {**held._asdict(), "gone": indices[np.array(verdict.gone, np.int64)], **cuts.arrays()})
        listed = write_listed(self._folder, name, verdict.listed)
        return Part({}, [path, *listed, *write_removed(self._removed / f"{name}.parquet", verdict.rows)])

    def _verdict(self, piece: Slice, held: Held, best: np.ndarray) -> _Verdict:
        """Judge documents that hold something.

        Args:
            best: the rows of `held` for which documents go or are cut.
        """
        work = self._work
        holds = np.flatnonzero(held.is_held)
        shown = np.union1d(chosen_rows(held), holds)
        documents, places = np.unique(held.documents[shown], return_inverse=True)
        batch = piece.load().take(pa.array(documents))
        here = Held(places, held.items[shown], held.coverage[shown], held.is_held[shown])
        wanted = set(zip(here.documents.tolist(), here.items.tolist(), strict=True))
        index = work.index
        spans = item_spans(index, work.counting.ngrams, index.find(batch.column("text")), wanted)
        removed: list[_Removed] = []
        in_documents: dict[int, list[Span]] = defaultdict(list)
        for row in np.searchsorted(shown, holds).tolist():
            in_documents[int(places[row])] += spans[int(places[row]), int(here.items[row])]
        best = np.searchsorted(shown, best)
        names_and_begins = work.items.names_and_begins(here.items[best])
        names = [name for name, _ in names_and_begins]
        found = removals(here, best, names, work.decontaminator.min_coverage)
        for removal, item, (_, begin) in zip(found, here.items[best].tolist(), names_and_begins, strict=True):
            text = batch.column("text")[removal.position].as_py()
            pieces = self._pieces(text, in_documents[removal.position])
            cut = [replace(removal, reason=CUT, start=a, stop=b) for a, b in pieces]
            removed.append(_Removed(cut or [removal], item, begin))
        return self._described(piece, batch, here, spans, removed, documents)

    def _pieces(self, text: str, spans: list[Span]) -> list[Span]:
        """Return what is cut out of a document; nothing where it goes as a whole."""
        rules = self._work.decontaminator
        if not rules.max_cuts:
            return []
        pieces = spans_to_cut(text, spans)
        data = text.encode()
        left = b"".join(data[end:start] for (_, end), (start, _) in pairwise([(0, 0), *pieces, (len(data), 0)]))
        if len(pieces) > rules.max_cuts or len(left) < rules.min_left_frac * len(data) or not left.strip():
            return []
        return [] if self._work.holds_an_item(left.decode()) else pieces  # what was apart may meet at a seam

    def _described(
        self,
        piece: Slice,
        batch: pa.RecordBatch,
        here: Held,
        spans: Spans,
        removed: list[_Removed],
        documents: np.ndarray,
    ) -> _Verdict:
        """Return the verdict with its evidence.

        Args:
            batch, here, spans: of the documents that are shown.
            removed: what goes of each document that holds an item.
            documents: of the slice, those in the batch.
        """
        verdict = _Verdict()
        origin = Origin(self._removed.name, piece.partition.source, self._work.file_names)
        gone = {each.position for each in removed if not each.is_cut}
        cut = {each.position for each in removed} - gone
        entries = describe(batch, here, spans, gone, cut, origin)
        shown = zip(entries.items(), here.coverage.tolist(), strict=True)
        verdict.listed = [(item, coverage, entry) for ((_, item), entry), coverage in shown]
        for each in removed:
            rows = rows_of(batch, each.removals, origin, [None] * len(each.removals))
            for row, removal in zip(rows, each.removals, strict=True):
                if removal.start is None:
                    row["snippet"] = entries[removal.position, each.item]["excerpt"]
                    verdict.gone.append(int(documents[removal.position]))
                else:
                    assert removal.stop is not None
                    verdict.cuts.append((int(documents[removal.position]), removal.start, removal.stop))
                verdict.rows.append(row | {"test_snippet": each.begin})
        return verdict
