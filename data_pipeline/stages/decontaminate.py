"""Decontamination: training documents that hold what the model will be tested on go; the held-out ones are a test set.

One pass over the text: which n-grams of the test items each document holds. In how many documents each occurs, decides
which count; the verdicts follow from what was found, and of the text only the documents that hold something are read
again, for the evidence.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from data_pipeline.decontaminate.decontaminator import Decontaminator
from data_pipeline.decontaminate.index import NGramIndex
from data_pipeline.decontaminate.testsets import HELD_OUT, TestItem
from data_pipeline.decontaminate.verdicts import COMMON, CONTAMINATED, TOO_SHORT, Found, Held, ItemCounts
from data_pipeline.ledger import Book
from data_pipeline.output_dir import DECONTAMINATION, REMOVED
from data_pipeline.records import keep_only
from data_pipeline.stages.contamination import Listed, by_set, in_words, merge, write_contamination, write_summary
from data_pipeline.stages.cuts import Cuts, joined
from data_pipeline.stages.judging import Find, Judge, Judging
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
from data_pipeline.stages.view import Slice, View, decision_path
from data_pipeline.storage import read_arrays, write_arrays
from foundation.hashes import hash_bytes, hash_json
from foundation.progress import progress

Planted = dict[str, dict[str, int]]  # kind of copy -> how many were planted, how many found


class Decontaminate(Stage):
    """Judges the training documents only: held-out documents are test items and stay.

    Args:
        raw: the plain config of `decontaminate`.
    Raises:
        GroundworkError: a test set is missing or can't be read.
    """

    name = "decontaminate"
    title = "decontaminate"
    code = (
        "decontaminate",
        "stages/contamination.py",
        "stages/decontaminate.py",
        "stages/judging.py",
        "stages/removed.py",
    )
    libraries = ("numpy", "pyarrow", "xxhash")
    loosen = (
        "decontaminate.min_coverage= sets the limit, decontaminate.action=cut cuts, decontaminate=none removes nothing"
    )

    def __init__(self, place: Workplace, decontaminator: Decontaminator, raw: dict[str, Any]) -> None:
        super().__init__(place)
        self._decontaminator, self._raw = decontaminator, raw
        self._items = decontaminator.test_items()  # what is wrong with them is said before the long work begins

    def settings(self) -> Any:
        return {**self._raw, "test_sets": self._items_hash}

    @cached_property
    def _items_hash(self) -> str:
        return hash_json([[item.name, item.text, hash_bytes(item.record), item.suffix] for item in self._items])

    def run(self, view: View, before: Book) -> Outcome:
        folder = self.place.output_dir / DECONTAMINATION
        keep_only(folder, [])  # it describes what is about to change
        if not self._decontaminator.seeks:
            return self._decided(view, before, _Judged(ItemCounts(0, 1.0)), [])
        held_out = self._held_out_items(view)
        items = [*self._items, *held_out]
        index = self._decontaminator.build(items)
        training = view.training
        settings = self._settings_of_finding(view)
        frequencies, found = self._find(view, training, index, settings)
        shown = [view.file_names, [partition.source for partition in view.partitions]]  # in the evidence of each part
        settings = hash_json([self.identity, settings, hash_bytes(frequencies.tobytes()), shown])
        work = Judging(self._decontaminator, index, self._decontaminator.counting(index, frequencies), view.file_names)
        judged = self._judge(view, training, work, settings)
        statuses = judged.counts.statuses(index.widths > 0, work.counting.item_words > 0)
        sets = by_set(items, statuses)
        planted = work.find_planted(items, statuses)
        print(f"{self.name}: planted copies found: {_in_words(planted)}", file=sys.stderr)
        written = [
            *write_contamination(folder, items, statuses, judged.counts, judged.listed),
            write_summary(folder, {"sets": sets, "planted": planted}),
        ]
        counts = _counts(work, statuses, judged)
        pieces, documents = counts["contaminated_pieces_cut"], counts["contaminated_documents_cut"]
        cut = f"{pieces:,} pieces cut out of {documents:,} documents; " if pieces else ""
        facts = {"note": cut + in_words(sets), "counts": counts}
        return self._decided(view, before, judged, [*found, *judged.files, *written], **facts)

    def _settings_of_finding(self, view: View) -> str:
        """Return the hash of all that the n-grams found in a partition depend on beside it."""
        counting = {name: each for name, each in self._raw.items() if name not in self._decontaminator.judge_alone}
        return hash_json([self.code_hash, counting, self._items_hash, _held_out_hash(view)])

    def _decided(self, view: View, before: Book, judged: _Judged, files: list[Path], **facts: Any) -> Outcome:
        gone, cuts = np.concatenate([np.zeros(0, np.int64), *judged.gone]), joined(judged.cuts)
        path = decision_path(self.place.work, self.name)
        write_arrays(path, {"gone": gone, **cuts.arrays()})
        left = view.training
        left[gone] = False
        lost, cut = bytes_in_and_removed(view, gone), cuts.num_bytes(len(view.alive))
        for source, mask in view.source_masks():
            lost[source][1] += int(cut[mask].sum())
        facts |= {"training": view.num_left(left), "bytes_in_and_removed": lost}
        return Outcome(
            output=hash_json([hash_bytes(gone.astype("<i8").tobytes()), cuts.hash()]),
            book=account_decision(view, gone, [CONTAMINATED] * len(gone), before),
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

    def _find(
        self, view: View, training: np.ndarray, index: NGramIndex, settings: str
    ) -> tuple[np.ndarray, list[Path]]:
        """Return in how many training documents each n-gram occurs, and the files written."""
        frequencies = np.zeros(index.num_ngrams, np.int64)
        files: list[Path] = []
        tasks = self._tasks("find", view, training, settings)
        with progress(self.name, int(view.sizes[training].sum()), "B", "text") as meter:
            for name, facts in do_parts(
                self.place.executor, self.records, tasks, Find(self._decontaminator, index, self.folder)
            ):
                found = Found(**read_arrays(self.folder / f"{name}.npz"))
                frequencies += np.bincount(found.ngrams, minlength=index.num_ngrams)
                files += self.records.files(name)
                meter.add(facts["utf8_bytes"])
        return frequencies, files

    def _judge(self, view: View, training: np.ndarray, work: Judging, settings: str) -> _Judged:
        judged = _Judged(ItemCounts(len(work.index.names), self._decontaminator.min_coverage))
        tasks = self._tasks("judge", view, training, settings)
        function = Judge(work, self.folder, self.place.output_dir / REMOVED / self.name)
        for name, _ in do_parts(self.place.executor, self.records, tasks, function):
            arrays = read_arrays(self.folder / f"{name}.npz")
            judged.counts.add(Held(*(arrays[column] for column in Held._fields)))
            judged.gone.append(arrays["gone"])
            judged.cuts.append(Cuts.of(arrays))
            listed = orjson.loads((self.folder / f"{name}.listed").read_bytes())
            merge(judged.listed, {int(item): documents for item, documents in listed.items()})
            judged.files += self.records.files(name)
        return judged

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


def _counts(work: Judging, statuses: list[str], judged: _Judged) -> dict[str, int]:
    """Return numbers for the ledger: what was sought, what could not be, what was cut."""
    return {
        "test_items": len(statuses),
        "items_too_short": statuses.count(TOO_SHORT),
        "items_of_common_ngrams": statuses.count(COMMON),
        "ngrams": work.index.num_ngrams,
        "common_ngrams": int((~work.counting.ngrams).sum()),
        "contaminated_pieces_cut": sum(len(cuts) for cuts in judged.cuts),
        "contaminated_documents_cut": sum(len(np.unique(cuts.documents)) for cuts in judged.cuts),
    }


def _in_words(planted: Planted) -> str:
    return ", ".join(f"{kind} {each['found']:,} of {each['planted']:,}" for kind, each in planted.items())


@dataclass(slots=True)
class _Judged:
    """The verdicts on all partitions. Attributes: gone: indices of documents, an array a partition; cuts: a partition's
    each, of indices."""

    counts: ItemCounts
    listed: Listed = field(default_factory=dict)
    gone: list[np.ndarray] = field(default_factory=list)
    cuts: list[Cuts] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
