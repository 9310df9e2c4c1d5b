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

from data_pipeline.decontaminate.decontaminator import Decontaminator
from data_pipeline.decontaminate.index import laid_end_to_end
from data_pipeline.decontaminate.planted import MOST_CHARS, MOST_ITEMS
from data_pipeline.decontaminate.testsets import HELD_OUT
from data_pipeline.decontaminate.verdicts import COMMON, CONTAMINATED, STATUSES, TOO_SHORT, Found, Held, ItemCounts
from data_pipeline.documents import SNIPPET_CHARS
from data_pipeline.ledger import Book
from data_pipeline.output_dir import DECONTAMINATION, REMOVED
from data_pipeline.records import keep_only
from data_pipeline.stages.contamination import Known, Listed, by_set, in_words, write_contamination, write_summary
from data_pipeline.stages.cuts import Cuts, joined
from data_pipeline.stages.item_files import ItemFiles, WriteHeldOut, write_named
from data_pipeline.stages.judging import Find, Judge, Judging, find_path, judge_path
from data_pipeline.stages.mapped import Mapped
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
from data_pipeline.stages.stored_index import StoredIndex
from data_pipeline.stages.view import Slice, View, decision_path
from data_pipeline.storage import read_arrays, write_arrays
from foundation.hashes import hash_bytes, hash_json
from foundation.progress import progress
from foundation.text import number_of, one_line

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
        "stages/described.py",
        "stages/features.py",
        "stages/item_files.py",
        "stages/judging.py",
        "stages/mapped.py",
        "stages/removed.py",
        "stages/stored_index.py",
    )
    libraries = ("numpy", "pyarrow", "xxhash")
    loosen = (
        "decontaminate.min_coverage= sets the limit, decontaminate.action=cut cuts, decontaminate=none removes nothing"
    )

    def __init__(self, place: Workplace, decontaminator: Decontaminator, raw: dict[str, Any]) -> None:
        super().__init__(place)
        self._decontaminator, self._raw = decontaminator, raw
        self.is_off = not decontaminator.seeks
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
            return self._decided(view, before, _Judged(ItemCounts(0), Listed(self.folder)), [])
        stored, items, can_plant = self._index(view)
        training = view.training
        settings = self._settings_of_finding(view)
        frequencies, found = self._find(view, training, stored, settings)
        shown = [view.file_names, [partition.source for partition in view.partitions]]  # in the evidence of each part
        settings = hash_json([self.identity, settings, hash_bytes(frequencies.data), shown])
        counting = self._decontaminator.counting(stored.index, frequencies)
        marks = Mapped(self.folder / "counting", counting._asdict())
        work = Judging(self._decontaminator, stored, marks, items, view.file_names)
        judged = self._judge(view, training, work, settings)
        statuses = judged.counts.statuses(work.index.widths > 0, work.counting.item_words > 0)
        least = work.index.least(frequencies)
        known = Known(statuses, judged.counts, work.index.num_words, work.counting.item_words, least)
        sets = by_set(self._items, statuses)
        self._warn_of_common(sets, np.where(statuses == STATUSES.index(COMMON), least, 0))
        is_sought = ~np.isin(statuses, [STATUSES.index(status) for status in (TOO_SHORT, COMMON)])
        planted = work.find_planted(items.take(self._planted_places(can_plant & is_sought)))
        found_of = _in_words(planted) if len(is_sought[can_plant & is_sought]) else "no item could be planted"
        print(f"{self.name}: planted copies found: {found_of}", file=sys.stderr)
        written = [
            *write_contamination(folder, self._items, items.calls(), known, judged.listed),
            write_summary(folder, {"sets": sets, "planted": planted, "sought": int(is_sought.sum())}),
        ]
        counts = _counts(work, statuses, judged)
        pieces, documents = counts["contaminated_pieces_cut"], counts["contaminated_documents_cut"]
        cut = f"{number_of(pieces, 'piece')} cut out of {number_of(documents, 'document')}; " if pieces else ""
        facts = {"note": cut + in_words(sets), "counts": counts}
        return self._decided(view, before, judged, [*found, *judged.files, *written], **facts)

    def _index(self, view: View) -> tuple[StoredIndex, ItemFiles, np.ndarray]:
        """Return the index of all items, the held-out documents behind those of the test sets; what they are called;
        and which are not too long to be planted, (num_items,) bool. Workers read the held-out documents, which lie in
        all partitions."""
        written = [write_named(self.folder / "items.arrow", self._items)]
        with progress("held-out items", int(view.held_out.sum()), "docs") as meter:
            for each in self.place.executor.map(WriteHeldOut(self.folder), view.slices(view.held_out)):
                written.append(each)
                meter.add(len(each.num_chars))
        words = laid_end_to_end([each.words for each in written])
        files = ItemFiles([each.path for each in written], [len(each.num_chars) for each in written])
        can_plant = np.concatenate([each.num_chars for each in written]) <= MOST_CHARS
        written.clear()
        return StoredIndex(self.folder / "index", self._decontaminator.build(words)), files, can_plant

    def _planted_places(self, can_plant: np.ndarray) -> np.ndarray:
        """Return the numbers of the items that are planted: spread over the test sets', and over the held-out ones."""
        fit = np.flatnonzero(can_plant)
        return np.concatenate([_spread(fit[fit < len(self._items)]), _spread(fit[fit >= len(self._items)])])

    def _warn_of_common(self, sets: dict[str, dict[str, int]], frequencies: np.ndarray) -> None:
        """Say which test sets have items that nothing was removed for: a phrase everybody uses, or a leak in many.

        Args:
            frequencies: (num_items,) int64, in how many documents the n-grams of such an item are, at least; else 0.
        """
        of_set = np.array([item.set for item in self._items])
        for name, counts in sets.items():
            if counts[COMMON] and name != HELD_OUT:
                number = int(np.where(of_set == name, frequencies[: len(of_set)], 0).argmax())
                print(
                    f"warning: {self.name}: {counts[COMMON]:,} of the {sum(counts.values()):,} items of {name!r} are "
                    "common phrases: each n-gram of them is in more documents than decontaminate.max_document_frequency"
                    f", so these documents stay; one, in {frequencies[number]:,} documents or more, begins "
                    f"{one_line(self._items[number].text, SNIPPET_CHARS // 2)!r}. Where they are leaks and no phrases, "
                    f"set it higher; the items are in {DECONTAMINATION}/{name}.jsonl, with the status {COMMON} and "
                    "their document_frequency",
                    file=sys.stderr,
                )

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
        removed = {source: {CONTAMINATED: each[1]} for source, each in lost.items() if each[1]}
        for source, mask in view.source_masks():
            lost[source][1] += int(cut[mask].sum())
        facts |= {"training": view.num_left(left), "bytes_in_and_removed": lost, BYTES_REMOVED: removed}
        return Outcome(
            output=hash_json([hash_bytes(gone.astype("<i8").tobytes()), cuts.hash()]),
            book=account_decision(view, gone, CONTAMINATED, before),
            files=[*files, path],
            facts=facts,
            utf8_bytes=int(view.sizes[view.training].sum()),
        )

    def _find(
        self, view: View, training: np.ndarray, stored: StoredIndex, settings: str
    ) -> tuple[np.ndarray, list[Path]]:
        """Return in how many training documents each n-gram occurs, and the files written."""
        frequencies = np.zeros(stored.index.num_ngrams, np.int64)
        files: list[Path] = []
        tasks = self._tasks("find", view, training, settings)
        with progress(self.name, int(view.sizes[training].sum()), "B", "text") as meter:
            function = Find(self._decontaminator, stored, self.folder)
            for name, facts in do_parts(self.place.executor, self.records, tasks, function):
                found = Found(**read_arrays(find_path(self.folder, name.removeprefix("find-"))))
                np.add.at(frequencies, found.ngrams, 1)
                files += self.records.files(name)
                meter.add(facts["utf8_bytes"])
        return frequencies, files

    def _judge(self, view: View, training: np.ndarray, work: Judging, settings: str) -> _Judged:
        judged = _Judged(ItemCounts(work.index.num_items), Listed(self.folder))
        tasks = self._tasks("judge", view, training, settings)
        function = Judge(work, self.folder, self.place.output_dir / REMOVED / self.name)
        for name, _ in do_parts(self.place.executor, self.records, tasks, function):
            partition = name.removeprefix("judge-")
            arrays = read_arrays(judge_path(self.folder, partition))
            judged.counts.add(Held(*(arrays[column] for column in Held._fields)))
            judged.gone.append(arrays["gone"])
            judged.cuts.append(Cuts.of(arrays))
            judged.listed.add(partition)
            judged.files += self.records.files(name)
        return judged

    def _tasks(self, what: str, view: View, training: np.ndarray, settings: str) -> Iterator[Task[Slice]]:
        for piece in view.slices(training):
            key = hash_json([settings, piece.content_hash, piece.first_index, hash_bytes(piece.mask.tobytes())])
            yield task(self.records, f"{what}-{piece.partition.name}", key, piece)


def _spread(places: np.ndarray) -> np.ndarray:
    """Return MOST_ITEMS of these, evenly; all where they are fewer."""
    return places[np.arange(MOST_ITEMS) * len(places) // MOST_ITEMS] if len(places) > MOST_ITEMS else places


def _held_out_hash(view: View) -> str:
    """Return the hash of what the held-out documents are: where in which text."""
    texts = [piece.content_hash for piece in view.slices(view.held_out)]
    return hash_json([texts, hash_bytes(np.flatnonzero(view.held_out).astype("<i8").tobytes())])


def _counts(work: Judging, statuses: np.ndarray, judged: _Judged) -> dict[str, int]:
    """Return numbers for the ledger: what was sought, what could not be, what was cut."""
    return {
        "test_items": len(statuses),
        "items_too_short": int((statuses == STATUSES.index(TOO_SHORT)).sum()),
        "items_of_common_ngrams": int((statuses == STATUSES.index(COMMON)).sum()),
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
    listed: Listed
    gone: list[np.ndarray] = field(default_factory=list)
    cuts: list[Cuts] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
