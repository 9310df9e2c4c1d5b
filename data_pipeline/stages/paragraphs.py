"""Repeated paragraphs: counted over the corpus, then cut out of the documents, which stay unless nothing is left.

Two passes over the text: in how many documents each paragraph stands, then which of them go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline.dedup.paragraphs import Counted, Paragraphs, add_counts, count_documents, spans_to_cut
from data_pipeline.documents import Removals
from data_pipeline.ledger import Book
from data_pipeline.output_dir import REMOVED
from data_pipeline.records import Part
from data_pipeline.stages.cuts import Cuts
from data_pipeline.stages.described import describe
from data_pipeline.stages.paragraph_counts import StoredCounts, StoredRepeated, write_counts
from data_pipeline.stages.removed import named_in, write_evidence
from data_pipeline.stages.stage import (
    BYTES_REMOVED,
    Outcome,
    Stage,
    Task,
    Workplace,
    account_decision,
    bytes_in_and_removed,
    do_parts,
    task,
)
from data_pipeline.stages.view import Slice, View, decision_path, num_bytes
from data_pipeline.storage import read_arrays, write_arrays
from foundation.hashes import hash_bytes, hash_json
from foundation.progress import progress
from foundation.text import number_of

_COUNT_BYTES = 64  # of a counted unit: its three numbers, twice, and their order
CUT, EMPTIED = "repeated_{}", "repeated_{}s_alone"  # of a unit


@dataclass(slots=True)
class _Judged:
    """What the second pass found, a part after the other.

    Attributes:
        emptied: (2, g) int64: index of a document that goes as a whole, and the bytes that would be left of it.
        spans: (4, c) int64: index, start and stop of each cut, and which of the repeated paragraphs it is.
        files: that were written.
    """

    emptied: list[np.ndarray] = field(default_factory=lambda: [np.zeros((2, 0), np.int64)])
    spans: list[np.ndarray] = field(default_factory=lambda: [np.zeros((4, 0), np.int64)])
    files: list[Path] = field(default_factory=list)


class CutParagraphs(Stage):
    """Cuts what `paragraphs` finds repeated.

    Args:
        raw: the plain config of `paragraphs`.
    """

    name = "paragraphs"
    title = "repeated paragraphs"
    code = (
        "dedup/paragraphs.py",
        "dedup/shingles.py",
        "dedup/words.py",
        "stages/described.py",
        "stages/features.py",
        "stages/mapped.py",
        "stages/paragraph_counts.py",
        "stages/paragraphs.py",
        "stages/removed.py",
    )
    libraries = ("numpy", "pyarrow", "xxhash")
    loosen = "paragraphs.max_documents= and paragraphs.min_words= set the limits, paragraphs=none cuts nothing"

    def __init__(self, place: Workplace, paragraphs: Paragraphs, raw: dict[str, Any]) -> None:
        super().__init__(place)
        self._paragraphs, self._raw = paragraphs, raw
        self.is_off = not paragraphs.seeks

    def settings(self) -> Any:
        return self._without(self._paragraphs.limits)

    def _without(self, names: frozenset[str]) -> dict[str, Any]:
        """Return the config but for these arguments."""
        return {name: value for name, value in self._raw.items() if name not in names}

    def run(self, view: View, before: Book) -> Outcome:
        if self.is_off:
            return self._decided(view, before, np.zeros(0, np.int64), Cuts(), [], {})
        stored, counted = self._count(view)
        repeated = stored.open()
        judged = self._judge(view, stored, repeated)
        emptied, spans = np.concatenate(judged.emptied, axis=1), np.concatenate(judged.spans, axis=1)
        judged.spans.clear()  # 32 bytes a cut
        removals = self._evidence(view, repeated, emptied, spans)
        described = describe(self.place.executor, view, self.name, named_in(view, removals))
        folder = self.place.output_dir / REMOVED / self.name
        written = write_evidence(self.place.executor, folder, self.name, view, removals, described)
        gone, cuts, unit = emptied[0], Cuts(*spans[:3]), self._paragraphs.unit
        counts = {
            f"repeated_{unit}s": len(repeated.hashes),
            f"{unit}s_cut": len(cuts),
            "documents_cut": len(np.unique(cuts.documents)),
            "bytes_cut": int((cuts.stops - cuts.starts).sum()),
        }
        note = f"{number_of(len(cuts), unit)} cut out of {number_of(counts['documents_cut'], 'document')}"
        files = [*counted, *judged.files, *written]
        return self._decided(view, before, gone, cuts, files, {"counts": counts, "note": note})

    def _decided(
        self, view: View, before: Book, gone: np.ndarray, cuts: Cuts, files: list[Path], facts: dict[str, Any]
    ) -> Outcome:
        path = decision_path(self.place.work, self.name)
        write_arrays(path, {"gone": gone, **cuts.arrays()})
        cut = cuts.num_bytes(len(view.alive))
        lost, reason = bytes_in_and_removed(view, gone), EMPTIED.format(self._paragraphs.unit)
        removed = {source: {reason: each[1]} for source, each in lost.items() if each[1]}
        for source, mask in view.source_masks():
            lost[source][1] += int(cut[mask].sum())
        return Outcome(
            output=hash_json([hash_bytes(gone.astype("<i8").tobytes()), cuts.hash()]),
            book=account_decision(view, gone, reason, before),
            files=[*files, path],
            facts=facts | {"bytes_in_and_removed": lost, BYTES_REMOVED: removed},
            utf8_bytes=int(view.sizes[view.alive].sum()),
        )

    def _count(self, view: View) -> tuple[StoredRepeated, list[Path]]:
        """Return the repeated paragraphs, and the files of the counts."""
        parts, files = [], []
        counting = self._without(self._paragraphs.limits | self._paragraphs.judge_alone)
        settings = hash_json([counting, self.code_hash])
        for piece, name in self._parts(view, "count", settings, _Count(self._paragraphs, self.folder)):
            parts.append(StoredCounts.read(self.folder / f"{name}.npz", piece.first_index))
            files += self.records.files(name)
        num_ranges = 1 + sum(map(len, parts)) * _COUNT_BYTES // self._paragraphs.memory_bytes
        repeated = add_counts([self._repeated(parts, number, num_ranges) for number in range(num_ranges)])
        return StoredRepeated(self.folder / "repeated.arrays", repeated), files

    def _repeated(self, parts: list[StoredCounts], number: int, num_ranges: int) -> Counted:
        """Return the repeated paragraphs of one range of hashes."""
        counted = add_counts([part.of_range(number, num_ranges) for part in parts])
        return counted.rows(counted.num_documents > self._paragraphs.max_documents)

    def _judge(self, view: View, stored: StoredRepeated, repeated: Counted) -> _Judged:
        judged = _Judged()
        found = [hash_bytes(array.data) for array in (repeated.hashes, repeated.firsts)]
        settings = hash_json([self.identity, found])
        for piece, name in self._parts(view, "judge", settings, _Judge(self._paragraphs, stored, self.folder)):
            part = read_arrays(self.folder / f"{name}.npz")
            judged.files += self.records.files(name)
            judged.emptied.append(np.stack([piece.first_index + part["emptied"], part["left"]]))
            spans = (piece.first_index + part["rows"], part["starts"], part["stops"], part["found"])
            judged.spans.append(np.stack(spans))
        return judged

    def _evidence(
        self, view: View, repeated: Counted, emptied: np.ndarray, spans: np.ndarray
    ) -> tuple[Removals, Removals]:
        """Return the spans that go, and the documents that go as a whole."""
        most, least = float(self._paragraphs.max_documents), float(self._paragraphs.min_left_bytes)
        indices, start, stop, found = spans
        kept = np.searchsorted(view.positions, repeated.firsts[found]) if self._paragraphs.keep == "first" else None
        positions = np.searchsorted(view.positions, indices)
        held_by = repeated.num_documents[found].astype(np.float64)
        unit = self._paragraphs.unit
        cut = Removals(CUT.format(unit), positions, most, value=held_by, kept=kept, start=start, stop=stop)
        left = emptied[1].astype(np.float64)
        return cut, Removals(EMPTIED.format(unit), np.searchsorted(view.positions, emptied[0]), least, value=left)

    def _parts(
        self, view: View, what: str, settings: str, function: Callable[[Slice], Part]
    ) -> Iterator[tuple[Slice, str]]:
        """Do a pass; yield each piece and the name of its part.

        Args:
            settings: hash of all that a part depends on beside its texts.
        """
        pieces = list(view.slices(view.alive))

        def tasks() -> Iterator[Task[Slice]]:
            for piece in pieces:
                key = hash_json([settings, piece.content_hash, hash_bytes(piece.mask.tobytes())])
                yield task(self.records, f"{what}-{piece.partition.name}", key, piece)

        title = f"count {self._paragraphs.unit}s" if what == "count" else self.name
        with progress(title, int(view.sizes[view.alive].sum()), "B", "text") as meter:
            done = do_parts(self.place.executor, self.records, tasks(), function)
            for piece, (name, facts) in zip(pieces, done, strict=True):
                yield piece, name
                meter.add(facts["utf8_bytes"])


class _Count:
    """Runs in a worker: the paragraphs of a partition, each with the number of its documents and the first of them."""

    def __init__(self, paragraphs: Paragraphs, folder: Path) -> None:
        self._paragraphs, self._folder = paragraphs, folder

    def __call__(self, piece: Slice) -> Part:
        texts = piece.texts()
        units = self._paragraphs.units(texts)
        counted = count_documents(units)
        firsts = np.flatnonzero(piece.mask)[counted.firsts]
        path = self._folder / f"count-{piece.partition.name}.npz"
        write_counts(path, Counted(counted.hashes, counted.num_documents, firsts))
        return Part({"utf8_bytes": num_bytes(texts)}, [path])


class _Judge:
    """Runs in a worker: what is cut out of a partition's documents, and which of them hold too little else."""

    def __init__(self, paragraphs: Paragraphs, repeated: StoredRepeated, folder: Path) -> None:
        self._paragraphs, self._repeated, self._folder = paragraphs, repeated, folder

    def __call__(self, piece: Slice) -> Part:
        texts, rows = piece.texts(), np.flatnonzero(piece.mask)
        units = self._paragraphs.units(texts)
        repeated = self._repeated.open()
        keepers = repeated.firsts if self._paragraphs.keep == "first" else None
        goes, spared = spans_to_cut(units, repeated.hashes, keepers, piece.indices())
        chosen = Cuts(units.documents[goes], units.starts[goes], units.stops[goes])
        left = _left_bytes(chosen.apply(texts))
        left_little = np.unique(chosen.documents[left[chosen.documents] < self._paragraphs.min_left_bytes])
        emptied = np.setdiff1d(left_little, units.documents[spared])  # with a keeper its paragraph would be lost
        stays = ~np.isin(chosen.documents, emptied)
        arrays = {
            "rows": rows[chosen.documents[stays]],
            "starts": chosen.starts[stays],
            "stops": chosen.stops[stays],
            "found": np.searchsorted(repeated.hashes, units.hashes[goes][stays]),
            "emptied": rows[emptied],
            "left": left[emptied],
        }
        path = self._folder / f"judge-{piece.partition.name}.npz"
        write_arrays(path, arrays)
        return Part({"utf8_bytes": num_bytes(texts)}, [path])


def _left_bytes(texts: pa.LargeStringArray) -> np.ndarray:
    """Return the UTF-8 bytes of each text but for the white space around it, (n,) int64."""
    return np.asarray(pc.binary_length(pc.utf8_trim_whitespace(texts)), np.int64)
