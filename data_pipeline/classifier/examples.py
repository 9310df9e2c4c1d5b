"""Reading the examples: each file once, in workers, down to hashes and counted n-grams; texts are not kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from data_pipeline.classifier.labels import CLASSES, Labels
from data_pipeline.classifier.rows import Pool, Rows
from data_pipeline.clean.html_detect import is_fragment, is_html
from data_pipeline.clean.ngrams import Counting, Ngrams
from data_pipeline.clean.rules import Rule
from data_pipeline.dedup.exact import exact_duplicates, hash_of_words, hashes_array
from data_pipeline.dedup.words import join_words
from data_pipeline.documents import Quarantined, keys_of
from data_pipeline.executors.executor import Executor
from data_pipeline.ledger import Account
from data_pipeline.sources.source import Source
from data_pipeline.stages.clean import failed_records
from data_pipeline.stages.inputs import Group, NumberedBlock
from data_pipeline.storage import write_quarantine
from foundation.progress import Meter, progress

Item = tuple[str, list[NumberedBlock]]


@dataclass(frozen=True, slots=True)
class Origin:
    """What is read of where.

    Attributes:
        groups: of all files.
        sources: by their numbers.
        labels: of each source the place in CLASSES, or None where its records say.
    """

    groups: list[Group]
    sources: list[Source]
    labels: list[int | None]

    def file_names(self) -> dict[int, str]:
        """Return the names of the files by their numbers."""
        return {each.number: each.file.name for group in self.groups for each in group.files}


@dataclass(frozen=True, slots=True)
class Examples:
    """What was read.

    Attributes:
        rows: of each class, by hash, each example once; those of both classes left out.
        account: of the records.
        seen: examples of each class, repeated ones too.
        repeated: of each class, those that say the same words as another one of it.
        wordless: that have no n-gram, and say nothing.
        left_out: of each class, for memory.
        in_both: names of the examples that stand in both classes, one of each pair, as `<file>, record <n>`.
        markup: of each class, examples that begin as HTML, pages or fragments, repeated ones too.
        reasons: label -> how many bad examples have it, of those whose records say it.
    """

    rows: list[Rows]
    account: Account
    seen: list[int]
    repeated: list[int]
    wordless: int
    left_out: list[int]
    in_both: list[tuple[str, str]]
    markup: list[int]
    reasons: Counter[str]


class _Found(NamedTuple):
    """One example: its label, (file, row), hash, buckets with their counts, whether it begins as HTML."""

    label: int
    place: tuple[int, int]
    hashed: bytes
    counted: tuple[np.ndarray, np.ndarray]
    is_markup: bool


@dataclass(frozen=True, slots=True)
class _Read:
    """What a worker gives back of a partition: rows and places by class."""

    rows: list[Rows]
    places: list[np.ndarray]
    wordless: int
    num_records: int
    quarantined: Counter[str]
    markup: list[int]
    met: Counter[str]


@dataclass(slots=True)
class _Seen:
    """All examples of a class that were met: 32 bytes each."""

    pool: Pool
    hashes: list[np.ndarray] = field(default_factory=list)
    places: list[np.ndarray] = field(default_factory=list)  # (n, 2) int64: file, row


def read_examples(
    origin: Origin,
    rule: Rule,
    ngrams: Ngrams,
    labels: Labels,
    executor: Executor,
    quarantine: Path,
    partition_bytes: int,
    memory_bytes: int,
) -> Examples:
    """Read every file.

    Args:
        rule: changes the texts first; what it can't read goes to quarantine, its limits take nothing out.
        labels: for records that say their class.
        quarantine: folder for unreadable records.
        partition_bytes: most bytes of records that a worker gets at a time.
        memory_bytes: for the n-grams of all examples.
    Raises:
        InputError: a file can't be read, or changed; a record has no label; no record has one of `bad`.
    """
    seen = [_Seen(Pool(memory_bytes // len(CLASSES))) for _ in CLASSES]
    total = sum(each.file.size_bytes for group in origin.groups for each in group.files)
    account, wordless = Account(), 0
    markup = np.zeros(len(CLASSES), np.int64)
    met: Counter[str] = Counter()
    with progress("read", total or None, "B", "input") as meter:
        function = _ReadPartition(origin, rule, ngrams, labels, quarantine)
        for read in executor.map(function, _partitions(origin.groups, partition_bytes, meter)):
            bad = read.quarantined.total()
            account += Account(read.num_records, read.num_records - bad, quarantined=read.quarantined)
            wordless += read.wordless
            markup += read.markup
            met.update(read.met)
            for each, rows, places in zip(seen, read.rows, read.places, strict=True):
                each.pool.add(rows)
                each.hashes.append(rows.hashes)
                each.places.append(places)
    labels.check_met(met)
    return _examples(seen, account, wordless, origin.file_names(), markup.tolist(), labels.bad_among(met))


def _partitions(groups: list[Group], partition_bytes: int, meter: Meter) -> Iterator[Item]:
    for group in groups:
        for number, blocks in enumerate(group.partitions(partition_bytes, meter.add)):
            yield f"{group.name()}-{number:05d}", blocks


def _examples(
    seen: list[_Seen],
    account: Account,
    wordless: int,
    file_names: dict[int, str],
    markup: list[int],
    reasons: Counter[str],
) -> Examples:
    hashes = [np.concatenate([np.zeros((0, 2), np.uint64), *each.hashes]) for each in seen]
    places = [np.concatenate([np.zeros((0, 2), np.int64), *each.places]) for each in seen]
    ordered = [np.lexsort((place[:, 1], place[:, 0])) for place in places]  # which is named hangs on no worker
    hashes = [hashed[order] for hashed, order in zip(hashes, ordered, strict=True)]
    places = [place[order] for place, order in zip(places, ordered, strict=True)]
    firsts = [_first_ones(hashed) for hashed in hashes]
    good, bad = (hashed[first] for hashed, first in zip(hashes, firsts, strict=True))
    bad_ones, good_ones = exact_duplicates(np.concatenate([good, bad]))  # of the bad, each with the good one it repeats
    both = {hashed.tobytes() for hashed in good[good_ones]}
    pairs = zip(places[0][firsts[0]][good_ones], places[1][firsts[1]][bad_ones - len(good)], strict=True)
    rows = []
    for each in seen:
        held = each.pool.rows()
        rows.append(held.take(np.array([hashed.tobytes() not in both for hashed in held.hashes], bool)))
    return Examples(
        rows,
        account,
        seen=[len(each) for each in hashes],
        repeated=[len(hashed) - len(first) for hashed, first in zip(hashes, firsts, strict=True)],
        wordless=wordless,
        left_out=[len(first) - len(both) - len(held) for first, held in zip(firsts, rows, strict=True)],
        in_both=[(_named(one, file_names), _named(other, file_names)) for one, other in pairs],
        markup=markup,
        reasons=reasons,
    )


def _first_ones(hashes: np.ndarray) -> np.ndarray:
    """Return the rows that repeat none before them, (m,) int64."""
    stays = np.ones(len(hashes), bool)
    stays[exact_duplicates(hashes)[0]] = False
    return np.flatnonzero(stays)


def _named(place: np.ndarray, file_names: dict[int, str]) -> str:
    file, row = place.tolist()
    return f"{file_names[file]}, record {row:,} from 0"


class _ReadPartition:
    """Runs in a worker: parse, hash, count."""

    def __init__(self, origin: Origin, rule: Rule, ngrams: Ngrams, labels: Labels, quarantine: Path) -> None:
        self._rule, self._sources, self._labels_of_sources = rule, origin.sources, origin.labels
        self._file_names = origin.file_names()
        self._ngrams, self._labels, self._quarantine = ngrams, labels, quarantine

    def __call__(self, item: Item) -> _Read:
        name, blocks = item
        source = self._sources[blocks[0].file.source]
        counting = Counting(self._ngrams)
        found: list[_Found] = []
        unreadable: list[tuple[str, Quarantined]] = []
        num_records = num_documents = 0
        met: Counter[str] = Counter()
        for numbered in blocks:
            parsed = source.parse(numbered.block, numbered.file.file, numbered.file.number)
            num_records += parsed.num_records
            applied = self._rule.apply(parsed.documents)
            num_documents += applied.batch.num_rows
            failed = (record for _, record in failed_records(parsed.documents, applied.failed))
            unreadable += [(numbered.file.file.name, record) for record in (*parsed.quarantined, *failed)]
            found += self._found(applied.batch, numbered.file.source, counting, met)
        write_quarantine(self._quarantine / f"{name}.jsonl", source.name, unreadable)
        by_class = [[each for each in found if each.label == label] for label in range(len(CLASSES))]
        return _Read(
            rows=[
                Rows.of(hashes_array([each.hashed for each in of]), (each.counted for each in of)) for of in by_class
            ],
            places=[np.array([each.place for each in of], np.int64).reshape(-1, 2) for of in by_class],
            wordless=num_documents - len(found),
            num_records=num_records,
            quarantined=Counter(record.reason for _, record in unreadable),
            markup=[sum(each.is_markup for each in of) for of in by_class],
            met=met,
        )

    def _found(self, documents: pa.RecordBatch, source: int, counting: Counting, met: Counter[str]) -> Iterator[_Found]:
        """Yield the examples among documents: those that have an n-gram; met: as of `Labels.of`."""
        label = self._labels_of_sources[source]
        if label is None:
            labels = self._labels.of(documents, self._file_names, met)
        else:
            labels = np.full(documents.num_rows, label, np.int8)
        texts = documents.column("text")
        places = zip(*(column.tolist() for column in keys_of(documents)), strict=True)
        markup = (is_html(texts) | is_fragment(texts)).tolist()
        each = zip(labels.tolist(), places, join_words(texts), counting.counts(texts), markup, strict=True)
        for of_it, place, words, counted, is_markup in each:
            if len(counted[0]):
                yield _Found(of_it, place, hash_of_words(words), counted, is_markup)
