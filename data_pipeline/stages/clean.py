"""Clean: read the inputs block by block, parse and clean each partition in a worker, write its text once."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline.clean.cleaner import Cleaner
from data_pipeline.documents import MODULUS, SCHEMA, Quarantined, Removal, fingerprint
from data_pipeline.ledger import Account, Book
from data_pipeline.losses import BadLimit
from data_pipeline.sources.source import Corpus, Source
from data_pipeline.stages.inputs import Group, NumberedFile, Piece, content_key, group_files
from data_pipeline.stages.removed import Origin, rows_of
from data_pipeline.stages.stage import Outcome, Stage, Task, Workplace, do_parts, task
from data_pipeline.stages.view import CLEAN, Partition, View, batch_path, keys_path, num_bytes
from data_pipeline.storage import Part, write_arrays, write_batch, write_quarantine, write_removed
from foundation.hashes import hash_json
from foundation.progress import Meter, progress

Item = tuple[str, list[Piece]]  # a partition's name and what to parse


class Clean(Stage):
    """The first stage: from input files to partitions of documents."""

    name = CLEAN
    code = ("sources", "clean", "stages/clean.py", "stages/inputs.py", "stages/removed.py")
    libraries = ("numpy", "orjson", "pyarrow", "zstandard")

    def __init__(
        self,
        place: Workplace,
        corpus: Corpus,
        cleaner: Cleaner,
        raw_clean: dict[str, Any],
        partition_bytes: int,
        limit: BadLimit,
    ) -> None:
        """Args:
        raw_clean: the plain config of `clean`.
        partition_bytes: most bytes of records in a partition, one longer record excepted.
        """
        super().__init__(place)
        self._cleaner, self._raw_clean, self._partition_bytes, self._limit = cleaner, raw_clean, partition_bytes, limit
        self.sources = corpus.sources()
        self._described = {source.name: describe(source) for source in self.sources}  # before they work
        self.groups = group_files(self.sources, partition_bytes)
        self.file_names = [each.file.name for group in self.groups for each in group.files]

    def settings(self) -> Any:
        parse = [self.parse_settings(source) for source in self.sources]
        return {"parse": parse, "inputs": [[group.source.name, group.state()] for group in self.groups]}

    def run(self, view: View, before: Book) -> Outcome:
        total = sum(each.file.size_bytes for group in self.groups for each in group.files)
        book: Book = {source.name: Account() for source in self.sources}
        counts: Counter[str] = Counter()
        text_bytes = {source.name: [0, 0] for source in self.sources}  # that came in, that was removed
        partitions: list[dict[str, Any]] = []
        function = _CleanPartition(self)
        with progress(self.name, total or None, "B") as meter:
            reader = _Reader(self, meter)
            for _, facts in do_parts(self.place.executor, self.records, reader.tasks(), function):
                partitions.append(facts["partition"])
                counts.update(facts["changed"])
                source = facts["partition"]["source"]
                book[source] += Account.from_json(facts["account"])
                text_bytes[source] = [a + b for a, b in zip(text_bytes[source], facts["text_bytes"], strict=True)]
                reader.finished_one()
            reader.commit_groups()
        files = [path for name in reader.names for path in self.records.files(name)]
        return Outcome(
            output=hash_json([partitions, self.file_names]),
            book=book,
            files=files,
            facts={
                "partitions": partitions,
                "file_names": self.file_names,
                "counts": dict(counts),
                "bytes_in_and_removed": text_bytes,
                "advice": {source.name: source.advice() for source in self.sources},
            },
            utf8_bytes=sum(partition["utf8_bytes"] for partition in partitions),
        )

    def check(self, book: Book) -> None:
        self._limit.check(book, self.place.output_dir / "quarantine" / self.name)

    def leaves(self, view: View, facts: dict[str, Any]) -> View:
        return View(view.work, [Partition(**partition) for partition in facts["partitions"]], facts["file_names"])

    def parse_settings(self, source: Source) -> dict[str, Any]:
        """Return what the documents of a source depend on beside its files."""
        described = self._described[source.name]
        return {"source": described, "clean": self._raw_clean, "partition_bytes": self._partition_bytes}


def describe(source: Source) -> dict[str, Any]:
    """Return a source's settings as JSON values, by its attributes: one more source leaves the others as they are.

    Where the files lie and how much the source weighs is left out: it changes no document; their names and content do.
    """
    settings = {name: value for name, value in vars(source).items() if name not in ("paths", "weight")}
    return {"_target_": f"{type(source).__module__}.{type(source).__qualname__}", **settings}


@dataclass(frozen=True, slots=True)
class _Exhausted:
    """A group read to its end: it is finished when `num_tasks` results have come in."""

    group: Group
    num_tasks: int
    key: str
    partitions: list[list[str]]  # name, key


class _Reader:
    """Draws the tasks from the inputs, skipping groups that are finished and unchanged; keeps the groups' records."""

    def __init__(self, stage: Clean, meter: Meter) -> None:
        """Args:
        meter: receives the bytes that are read, by block: a partition may take a while.
        """
        self._stage, self._meter = stage, meter
        code = stage.code_hash()
        self._settings = {source.name: hash_json([stage.parse_settings(source), code]) for source in stage.sources}
        self._exhausted: deque[_Exhausted] = deque()
        self._num_tasks = self._num_results = 0
        self.names: list[str] = []  # of all records that stand

    def tasks(self) -> Iterator[Task[Item]]:
        for group in self._stage.groups:
            key = hash_json([self._settings[group.source.name], group.state()])
            found = self._found(group, key)
            yield from self._reuse(group, found) if found is not None else self._read(group, key)

    def finished_one(self) -> None:
        """Take note that one more result came in."""
        self._num_results += 1
        self.commit_groups()

    def commit_groups(self) -> None:
        """Commit the groups that were read to their end and whose results are all in."""
        while self._exhausted and self._exhausted[0].num_tasks <= self._num_results:
            done = self._exhausted.popleft()
            self._stage.records.commit(done.group.name(), done.key, Part({"partitions": done.partitions}, []))
            self.names.append(done.group.name())

    def _found(self, group: Group, key: str) -> list[Task[Item]] | None:
        records = self._stage.records
        facts = records.find(group.name(), key)
        if facts is None:
            return None
        tasks: list[Task[Item]] = [
            Task(name, part_key, None, records.find(name, part_key)) for name, part_key in facts["partitions"]
        ]
        return tasks if all(each.found is not None for each in tasks) else None

    def _reuse(self, group: Group, tasks: list[Task[Item]]) -> Iterator[Task[Item]]:
        self.names.append(group.name())
        self._meter.add(sum(each.file.size_bytes for each in group.files))
        for each in tasks:
            yield self._count(each)

    def _read(self, group: Group, key: str) -> Iterator[Task[Item]]:
        partitions: list[list[str]] = []
        for number, pieces in enumerate(group.partitions(self._stage._partition_bytes, self._meter.add)):
            part_key = hash_json([self._settings[group.source.name], content_key(pieces)])
            name = f"{group.name()}-{number:05d}"
            partitions.append([name, part_key])
            yield self._count(task(self._stage.records, name, part_key, (name, pieces)))
        self._exhausted.append(_Exhausted(group, self._num_tasks, key, partitions))

    def _count(self, each: Task[Item]) -> Task[Item]:
        self._num_tasks += 1
        self.names.append(each.name)
        return each


class _CleanPartition:
    """Runs in a worker: parse, clean, write."""

    def __init__(self, stage: Clean) -> None:
        self._cleaner, self._sources, self._file_names = stage._cleaner, stage.sources, stage.file_names
        self._output_dir, self._work = stage.place.output_dir, stage.place.work

    def __call__(self, item: tuple[str, list[Piece]]) -> Part:
        name, pieces = item
        source = self._sources[pieces[0].file.source]
        parsed = [source.parse(piece.block, piece.file.file, piece.file.number) for piece in pieces]
        documents = _concatenated([each.documents for each in parsed])
        quarantined = [
            (piece.file, record) for piece, each in zip(pieces, parsed, strict=True) for record in each.quarantined
        ]
        result = self._cleaner.clean_counted(documents)
        cleaned, removals = result.batch, result.removals
        num_records = sum(each.num_records for each in parsed)
        account = _account(num_records, documents, cleaned, removals, quarantined)
        account.check(f"{CLEAN}, partition {name} of source {source.name!r}")
        origin = Origin(CLEAN, source.name, self._file_names)
        rows = rows_of(documents, removals, origin, [None] * len(removals))
        written = write_removed(self._output_dir / "removed" / CLEAN / f"{name}.parquet", rows)
        unreadable = [(file.file.name, record) for file, record in quarantined]
        written += write_quarantine(self._output_dir / "quarantine" / CLEAN / f"{name}.jsonl", unreadable)
        partition = self._write(name, source.name, cleaned)
        written += [batch_path(self._work, name), keys_path(self._work, name)]
        facts = {
            "partition": asdict(partition),
            "account": account.to_json(),
            "changed": dict(result.changed),
            "text_bytes": _text_bytes(documents, removals),
        }
        return Part(facts, written)

    def _write(self, name: str, source: str, cleaned: pa.RecordBatch) -> Partition:
        batch_hash = write_batch(batch_path(self._work, name), cleaned)
        sizes = np.asarray(pc.binary_length(cleaned.column("text")), np.int64)
        files_column, rows_column = keys_of(cleaned)
        write_arrays(keys_path(self._work, name), {"files": files_column, "rows": rows_column, "sizes": sizes})
        return Partition(name, source, cleaned.num_rows, int(sizes.sum()), batch_hash)


def _concatenated(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    full = [batch for batch in batches if batch.num_rows] or batches[:1]  # a table of no rows has no batches
    if len(full) == 1:
        return full[0]
    return pa.Table.from_batches(full, SCHEMA).combine_chunks().to_batches()[0]


def _text_bytes(documents: pa.RecordBatch, removals: list[Removal]) -> list[int]:
    """Return the bytes of the texts before cleaning, and of the removed ones among them."""
    texts = documents.column("text")
    gone = pa.array([removal.position for removal in removals], pa.int64())
    return [num_bytes(texts), num_bytes(texts.take(gone))]


def keys_of(batch: pa.RecordBatch) -> tuple[np.ndarray, np.ndarray]:
    """Return the keys of a batch: (docs,) int32 files, (docs,) int64 rows."""
    return batch.column("file").to_numpy(), batch.column("row").to_numpy()


def _account(
    num_records: int,
    documents: pa.RecordBatch,
    cleaned: pa.RecordBatch,
    removals: list[Removal],
    quarantined: list[tuple[NumberedFile, Quarantined]],
) -> Account:
    files, rows = keys_of(documents)
    gone = np.array([removal.position for removal in removals], np.int64)
    bad_files = np.array([file.number for file, _ in quarantined], np.int32)
    bad_rows = np.array([record.row for _, record in quarantined], np.int64)
    bad = fingerprint(bad_files, bad_rows)
    return Account(
        num_in=num_records,
        num_out=cleaned.num_rows,
        dropped=Counter(removal.reason for removal in removals),
        quarantined=Counter(record.reason for _, record in quarantined),
        fingerprint_in=(fingerprint(files, rows) + bad) % MODULUS,
        fingerprint_out=fingerprint(*keys_of(cleaned)),
        fingerprint_dropped=fingerprint(files[gone], rows[gone]),
        fingerprint_quarantined=bad,
    )
