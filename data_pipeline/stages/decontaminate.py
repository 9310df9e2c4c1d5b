"""Decontamination: training documents that hold what the model will be tested on go; the held-out ones are a test set.

Two passes over the text: in how many documents each n-gram of the test items occurs, then the verdict on each document.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.decontaminate.decontaminator import Decontaminator
from data_pipeline.decontaminate.index import NGramIndex
from data_pipeline.decontaminate.testsets import HELD_OUT, TestItem
from data_pipeline.ledger import Book
from data_pipeline.output_dir import REMOVED
from data_pipeline.records import Part
from data_pipeline.stages.removed import Origin, rows_of
from data_pipeline.stages.stage import (
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
from data_pipeline.storage import read_arrays, write_arrays, write_removed
from foundation.hashes import hash_bytes, hash_json
from foundation.progress import progress


class Decontaminate(Stage):
    """Judges the training documents only: held-out documents are test items and stay.

    Args:
        raw: the plain config of `decontaminate`.
    Raises:
        GroundworkError: a test set is missing or can't be read.
    """

    name = "decontaminate"
    title = "decontaminate"
    code = ("decontaminate", "stages/decontaminate.py", "stages/removed.py")
    libraries = ("numpy", "pyarrow", "xxhash")
    loosen = "decontaminate.min_coverage= sets the limit, decontaminate=none removes nothing"

    def __init__(self, place: Workplace, decontaminator: Decontaminator, raw: dict[str, Any]) -> None:
        super().__init__(place)
        self._decontaminator, self._raw = decontaminator, raw
        self._items = decontaminator.test_items()  # what is wrong with them is said before the long work begins

    def settings(self) -> Any:
        return {**self._raw, "test_sets": self._items_hash}

    @cached_property
    def _items_hash(self) -> str:
        return hash_json([[item.name, item.text] for item in self._items])

    def run(self, view: View, before: Book) -> Outcome:
        if not self._decontaminator.seeks:
            return self._decided(view, before, np.zeros(0, np.int64), [], [])
        held_out = self._held_out_items(view)
        index = self._decontaminator.build([*self._items, *held_out])
        training = view.training
        counting = {name: each for name, each in self._raw.items() if name not in self._decontaminator.judge_alone}
        held_out_hash = _held_out_hash(view)
        settings = hash_json([self.code_hash, counting, self._items_hash, held_out_hash])
        frequencies, counted = self._count(view, training, index, settings)
        shown = [view.file_names, [partition.source for partition in view.partitions]]  # in the evidence of each part
        settings = hash_json([self.identity, held_out_hash, hash_bytes(frequencies.tobytes()), shown])
        gone, reasons, judged = self._judge(view, training, index, frequencies, settings)
        facts = {
            "note": self._note(len(held_out), len(gone)),
            "counts": self._decontaminator.counts(index, frequencies),
        }
        return self._decided(view, before, gone, reasons, [*counted, *judged], **facts)

    def _note(self, num_held_out: int, num_gone: int) -> str:
        documents = f"{num_held_out:,} held-out document{'' if num_held_out == 1 else 's'}"
        items = f" and {len(self._items):,} test item{'' if len(self._items) == 1 else 's'}" if self._items else ""
        return f"{documents}{items} sought" + ("" if num_gone else ", none found")

    def _decided(
        self, view: View, before: Book, gone: np.ndarray, reasons: list[str], files: list[Path], **facts: Any
    ) -> Outcome:
        path = decision_path(self.place.work, self.name)
        write_arrays(path, {"gone": gone})
        left = view.training
        left[gone] = False
        facts |= {"training": view.num_left(left), "bytes_in_and_removed": bytes_in_and_removed(view, gone)}
        return Outcome(
            output=hash_bytes(gone.astype("<i8").tobytes()),
            book=account_decision(view, gone, reasons, before),
            files=[*files, path],
            facts=facts,
            utf8_bytes=int(view.sizes[view.training].sum()),
        )

    def _held_out_items(self, view: View) -> list[TestItem]:
        """Return the held-out documents as test items; they lie in all partitions, so workers read them."""
        items: list[TestItem] = []
        with progress("held-out items", int(view.held_out.sum()), "docs") as meter:
            for found in self.place.executor.map(_items_of, view.slices(view.held_out)):
                items += found
                meter.add(len(found))
        return items

    def _count(
        self, view: View, training: np.ndarray, index: NGramIndex, settings: str
    ) -> tuple[np.ndarray, list[Path]]:
        """Return in how many training documents each n-gram occurs, and the files written."""
        frequencies = np.zeros(index.num_ngrams, np.int64)
        function = _Count(self._decontaminator, index, self.folder)
        files: list[Path] = []
        with progress("count n-grams", int(view.sizes[training].sum()), "B", "text") as meter:
            for name, facts in do_parts(
                self.place.executor, self.records, self._tasks("count", view, training, settings), function
            ):
                part = read_arrays(self.folder / f"{name}.npz")
                frequencies[part["ngrams"]] += part["counts"]
                files += self.records.files(name)
                meter.add(facts["utf8_bytes"])
        return frequencies, files

    def _judge(
        self, view: View, training: np.ndarray, index: NGramIndex, frequencies: np.ndarray, settings: str
    ) -> tuple[np.ndarray, list[str], list[Path]]:
        """Return the indices of the documents that go, the reason of each, and the files written."""
        folder = self.place.output_dir / REMOVED / self.name
        function = _Judge(self._decontaminator, index, frequencies, Origin(self.name, "", view.file_names), folder)
        gone: list[int] = []
        reasons: list[str] = []
        files: list[Path] = []
        with progress(self.name, int(view.sizes[training].sum()), "B", "text") as meter:
            for name, facts in do_parts(
                self.place.executor, self.records, self._tasks("judge", view, training, settings), function
            ):
                gone += facts["gone"]
                reasons += facts["reasons"]
                files += self.records.files(name)
                meter.add(facts["utf8_bytes"])
        return np.array(gone, np.int64), reasons, files

    def _tasks(self, what: str, view: View, training: np.ndarray, settings: str) -> Iterator[Task[Slice]]:
        for piece in view.slices(training):
            key = hash_json([settings, piece.content_hash, piece.first_index, hash_bytes(piece.mask.tobytes())])
            yield task(self.records, f"{what}-{piece.partition.name}", key, piece)


def _items_of(piece: Slice) -> list[TestItem]:
    """Runs in a worker."""
    batch = piece.load()
    ids_and_texts = zip(batch.column("id").to_pylist(), batch.column("text").to_pylist(), strict=True)
    return [TestItem(HELD_OUT, identifier, text) for identifier, text in ids_and_texts]


def _held_out_hash(view: View) -> str:
    """Return the hash of what the held-out documents are: where in which text."""
    texts = [piece.content_hash for piece in view.slices(view.held_out)]
    return hash_json([texts, hash_bytes(np.flatnonzero(view.held_out).astype("<i8").tobytes())])


class _Count:
    """Runs in a worker."""

    def __init__(self, decontaminator: Decontaminator, index: NGramIndex, folder: Path) -> None:
        self._decontaminator, self._index, self._folder = decontaminator, index, folder

    def __call__(self, piece: Slice) -> Part:
        texts = piece.texts()
        counts = self._decontaminator.document_frequencies(self._index, texts)
        ngrams = np.flatnonzero(counts)
        path = self._folder / f"count-{piece.partition.name}.npz"
        write_arrays(path, {"ngrams": ngrams, "counts": counts[ngrams]})
        return Part({"utf8_bytes": num_bytes(texts)}, [path])


class _Judge:
    """Runs in a worker."""

    def __init__(
        self, decontaminator: Decontaminator, index: NGramIndex, frequencies: np.ndarray, origin: Origin, folder: Path
    ) -> None:
        self._decontaminator, self._index, self._frequencies = decontaminator, index, frequencies
        self._origin, self._folder = origin, folder

    def __call__(self, piece: Slice) -> Part:
        batch = piece.load()
        texts = batch.column("text")
        removals = self._decontaminator.judge(self._index, self._frequencies, texts)
        rows = rows_of(batch, removals, replace(self._origin, source=piece.partition.source), [None] * len(removals))
        files = write_removed(self._folder / f"{piece.partition.name}.parquet", rows)
        gone = piece.indices()[[removal.position for removal in removals]].tolist()
        facts = {"gone": gone, "reasons": [removal.reason for removal in removals], "utf8_bytes": num_bytes(texts)}
        return Part(facts, files)
