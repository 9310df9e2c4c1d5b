"""Clean: read the inputs block by block; parse, change and measure each partition in a worker, write its text once."""

from __future__ import annotations

import importlib.metadata
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from data_pipeline.clean.extras import version_of
from data_pipeline.clean.rules import Applied, Example, Failed, Rule, few_of
from data_pipeline.clean.settings import measured
from data_pipeline.documents import CUT_SHORT, MODULUS, SCHEMA, Quarantined, fingerprint, keys_of
from data_pipeline.ledger import Account, Book
from data_pipeline.limits import BadLimit, TooManyUnreadable
from data_pipeline.losses import large_markup
from data_pipeline.output_dir import QUARANTINE
from data_pipeline.records import Part, keep_only
from data_pipeline.sources.source import Corpus, InputFile, Source
from data_pipeline.sources.tags import tagged
from data_pipeline.stages.before import Before, before_path
from data_pipeline.stages.ids import ids_path, num_repeated, write_ids
from data_pipeline.stages.input_notes import NAMES_SHOWN, note, warnings, without_a_record
from data_pipeline.stages.inputs import Group, NumberedBlock, NumberedFile, content_key, group_files
from data_pipeline.stages.markup import HTML_KEY, MARKUP, count_markup, html_key
from data_pipeline.stages.source_settings import describe
from data_pipeline.stages.stage import (
    BYTES_REMOVED,
    Outcome,
    Stage,
    Task,
    Workplace,
    do_parts,
    task,
)
from data_pipeline.stages.view import (
    CLEAN,
    SCORES,
    Partition,
    View,
    batch_path,
    keys_path,
    num_bytes,
    scores_path,
    write_partition,
)
from data_pipeline.storage import write_arrays, write_quarantine
from foundation.errors import ConfigError
from foundation.hashes import hash_bytes, hash_file, hash_json
from foundation.progress import Meter, progress

UNCHECKED = "unchecked"  # in those of a group
BYTES_READ = "bytes_read"  # in facts: source -> bytes of text, before a rule has changed it
FILES_CUT = "files_cut"  # in the facts of a partition: names
FILES_READ = "files_read"  # numbers of those with a record
EARLY_RECORDS = 10_000  # of a source: from so many on, one that is unreadable for the most part stops the run at once
Item = tuple[str, list[NumberedBlock]]  # a partition's name and what to parse


class Clean(Stage):
    """The first stage: from input files to partitions of documents.

    Args:
        raw_clean: the plain config of `clean`.
        partition_bytes: most bytes of records in a partition, one longer record excepted.
        limit: on unreadable records.
    """

    name = CLEAN
    title = "clean"
    code = (
        "sources",
        "clean",
        "stages/before.py",
        "stages/clean.py",
        "stages/ids.py",
        "stages/input_notes.py",
        "stages/inputs.py",
        "stages/markup.py",
        "stages/source_settings.py",
    )
    libraries = ("numpy", "orjson", "pyarrow", "zstandard")

    def __init__(
        self,
        place: Workplace,
        corpus: Corpus,
        rule: Rule,
        raw_clean: dict[str, Any],
        partition_bytes: int,
        limit: BadLimit,
    ) -> None:
        super().__init__(place)
        self._rule, self._partition_bytes, self._limit = rule, partition_bytes, limit
        self._measured, self._html_key = measured(raw_clean), html_key(raw_clean)
        self._packages = {package: version_of(package) for package in rule.packages()}
        self._rule_inputs = [hash_file(path) for path in rule.inputs()]
        self.sources = corpus.sources()
        self.groups = group_files(self.sources, partition_bytes)
        self.file_names = [each.file.name for group in self.groups for each in group.files]

    def files(self) -> dict[str, list[InputFile]]:
        """Return the input files of each source."""
        found: dict[str, list[InputFile]] = {source.name: [] for source in self.sources}
        for group in self.groups:
            found[group.source.name] += [each.file for each in group.files]
        return found

    def settings(self) -> Any:
        parse = [self._parse_settings(source) for source in self.sources]
        return {"parse": parse, "inputs": [[group.source.name, group.state()] for group in self.groups]}

    def run(self, view: View, before: Book) -> Outcome:
        size = sum(each.file.size_bytes for group in self.groups for each in group.files)
        book: Book = {source.name: Account() for source in self.sources}
        counts: Counter[str] = Counter()
        examples: list[Example] = []
        partitions: list[dict[str, Any]] = []
        scores: list[str] = []
        read: Counter[str] = Counter()
        markup = {source.name: Counter[str]() for source in self.sources}
        is_read = np.zeros(len(self.file_names), bool)
        cut: list[str] = []
        removed: dict[str, Counter[str]] = {source.name: Counter() for source in self.sources}
        names = [group.name() for group in self.groups]
        function = _CleanPartition(self._rule, self.sources, self.file_names, self.place)
        with progress(self.name, size or None, "B", "input") as meter:
            for name, facts in do_parts(self.place.executor, self.records, self._tasks(meter, counts), function):
                names.append(name)
                partitions.append(facts["partition"])
                scores.append(facts["scores"])
                counts.update(facts["changed"])
                source = facts["partition"]["source"]
                read[source] += facts[BYTES_READ]
                markup[source].update(facts[MARKUP])
                is_read[facts[FILES_READ]] = True
                removed[source].update(facts[BYTES_REMOVED])
                cut += facts[FILES_CUT][: NAMES_SHOWN - len(cut)]
                book[source] += Account.from_json(facts["account"])
                self._check_early(book, source, names)
                examples = few_of(examples + [Example(*each) for each in facts["examples"]])
        counts += Counter(documents_with_repeated_id=self._num_repeated(partitions))
        without = [self.file_names[number] for number in np.flatnonzero(~is_read).tolist()]
        counts += Counter(files_without_a_record=len(without))
        files = [path for name in names for path in self.records.files(name)]
        return Outcome(
            output=hash_json([partitions, self.file_names]),
            book=book,
            files=files,
            facts={
                "partitions": partitions,
                "file_names": self.file_names,
                "counts": dict(counts),
                "note": note(counts, len(self.file_names), without),
                "remark": "\n".join([*without_a_record(without), *large_markup(markup, self._html_key)]),
                "warnings": warnings(counts["files_cut_short"], cut),
                "examples": [list(each) for each in examples],
                BYTES_READ: dict(read),
                MARKUP: {source: dict(found) for source, found in markup.items()},
                HTML_KEY: self._html_key,
                BYTES_REMOVED: {source: dict(sorted(by_reason.items())) for source, by_reason in removed.items()},
                SCORES: scores,  # by partition; no part of the output: the later stages see texts alone
            },
            utf8_bytes=sum(partition["utf8_bytes"] for partition in partitions),
        )

    def check(self, books: Sequence[tuple[str, Book]]) -> None:
        self._limit.check(books[-1][1], self.place.output_dir / QUARANTINE / self.name)

    def _check_early(self, book: Book, source: str, names: list[str]) -> None:
        """Ask the limit on unreadable records before the end, where no more is to be hoped of a source.

        A wholly wrong input would fill the disk with its quarantine first. Partitions come in the order of the corpus,
        so the verdict is the same for any number of workers.

        Args:
            book: of what has come so far.
            source: of the last partition.
            names: of the groups and of the partitions that have come.
        Raises:
            TooManyUnreadable: it is passed; what is finished stays for the next run.
        """
        account = book[source]
        bad = account.quarantined.total()
        if account.num_in < EARLY_RECORDS or 2 * bad <= account.num_in:
            return
        quarantine = self.place.output_dir / QUARANTINE / self.name
        came = {f"{name}.jsonl" for name in names}
        keep_only(quarantine, [path for path in quarantine.rglob("*") if path.name in came])  # of this run, in order
        try:
            self._limit.check(book, quarantine)
        except TooManyUnreadable as error:
            raise TooManyUnreadable(
                f"{error} That is what was read so far: more than half of source {source!r} is unreadable, "
                "and the rest was not read (max_bad_frac=1 reads it all the same)"
            ) from error

    def _num_repeated(self, partitions: list[dict[str, Any]]) -> int:
        """Return how many documents have an id that another one of their source has, before them."""
        found = [Partition(**each) for each in partitions]
        by_source = [[each for each in found if each.source == source.name] for source in self.sources]
        return sum(num_repeated(self.place.work, each) for each in by_source)

    def leaves(self, view: View, facts: dict[str, Any]) -> View:
        return View(view.work, [Partition(**partition) for partition in facts["partitions"]], facts["file_names"])

    def _parse_settings(self, source: Source) -> dict[str, Any]:
        """Return what the documents of a source depend on beside its files."""
        return {
            "source": describe(source),
            "clean": self._measured,
            "clean_inputs": self._rule_inputs,
            "packages": self._packages,
            "extras": {package: _version_of(package, source) for package in source.extras},
            "partition_bytes": self._partition_bytes,
        }

    def _tasks(self, meter: Meter, counts: Counter[str]) -> Iterator[Task[Item]]:
        """Yield the partitions of all groups; those of a group that is finished and unchanged without reading it.

        Args:
            meter: receives the bytes that are read, by block: a partition may take a while.
            counts: receives what no checksum vouches for, by group.
        """
        settings = {source.name: hash_json([self._parse_settings(source), self.code_hash]) for source in self.sources}
        for group in self.groups:
            mine = settings[group.source.name]
            key = hash_json([mine, group.state()])
            facts = self.records.find(group.name(), key)
            found = self._found(facts) if facts else None
            if facts is None or found is None:
                facts = yield from self._read(group, key, mine, meter)
            else:
                meter.add(sum(each.file.size_bytes for each in group.files))
                yield from found
            counts.update(facts[UNCHECKED])

    def _found(self, facts: dict[str, Any]) -> list[Task[Item]] | None:
        tasks: list[Task[Item]] = [
            Task(name, key, None, self.records.find(name, key)) for name, key in facts["partitions"]
        ]
        return tasks if all(each.found is not None for each in tasks) else None

    def _read(self, group: Group, key: str, settings: str, meter: Meter) -> Generator[Task[Item], None, dict[str, Any]]:
        """Yield the partitions of a group; return what it wrote down of it."""
        partitions: list[list[str]] = []  # name, key
        unchecked: dict[int, int] = {}  # by file
        for number, blocks in enumerate(group.partitions(self._partition_bytes, meter.add)):
            name, part_key = f"{group.name()}-{number:05d}", hash_json([settings, content_key(blocks)])
            partitions.append([name, part_key])
            unchecked |= {each.file.number: each.block.unchecked_bytes for each in blocks}
            yield task(self.records, name, part_key, (name, blocks))
        # read to its end; whether its partitions are finished too, their own records say
        sizes = [size for size in unchecked.values() if size]
        counted = {"files_without_checksum": len(sizes), "bytes_without_checksum": sum(sizes)} if sizes else {}
        facts = {"partitions": partitions, UNCHECKED: counted}
        self.records.commit(group.name(), key, Part(facts, []))
        return facts


def _version_of(package: str, source: Source) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError as error:
        raise ConfigError(
            f"corpus: source {source.name!r} ({type(source).__name__}) needs the package {package}; "
            "pip install -e '.[web]'"
        ) from error


class _CleanPartition:
    """Runs in a worker: parse, clean, write."""

    def __init__(self, rule: Rule, sources: list[Source], file_names: list[str], place: Workplace) -> None:
        self._rule, self._sources, self._file_names = rule, sources, file_names
        self._output_dir, self._work = place.output_dir, place.work

    def __call__(self, item: tuple[str, list[NumberedBlock]]) -> Part:
        name, blocks = item
        source = self._sources[blocks[0].file.source]
        files = {numbered.file.number: numbered.file for numbered in blocks}
        parsed = [source.parse(numbered.block, numbered.file.file, numbered.file.number) for numbered in blocks]
        documents = tagged(_concatenated([each.documents for each in parsed]), source.tags)
        quarantined = [
            (numbered.file, record)
            for numbered, each in zip(blocks, parsed, strict=True)
            for record in each.quarantined
        ]
        applied = self._rule.apply(documents)
        before = Before.of(documents, applied)
        failed = [(files[number], record) for number, record in failed_records(documents, applied.failed)]
        quarantined += failed
        num_records = sum(each.num_records for each in parsed)
        account = _account(num_records, documents, applied, quarantined)
        account.check(f"{CLEAN}, partition {name} of source {source.name!r}")
        unreadable = [(file.file.name, record) for file, record in quarantined]
        written = write_quarantine(self._output_dir / QUARANTINE / CLEAN / f"{name}.jsonl", source.name, unreadable)
        cut = [file.file.name for file, record in quarantined if record.reason in CUT_SHORT]
        removed: Counter[str] = Counter()
        for _, record in quarantined:
            removed[record.reason] += len(record.data)
        write_arrays(scores_path(self._work, name), applied.scores)
        partition = write_partition(self._work, name, source.name, applied.batch)
        write_ids(ids_path(self._work, name), applied.batch.column("id"))
        before_hash = before.write(self._work, name)
        written += [path(self._work, name) for path in (batch_path, keys_path, scores_path, before_path, ids_path)]
        passed_over = sum((each.passed_over for each in parsed), Counter(files_cut_short=len(cut)))
        scores = [[score, hash_bytes(column.tobytes())] for score, column in applied.scores.items()]
        facts = {
            "partition": asdict(partition),
            "scores": hash_json([before_hash, scores]),  # what the filter goes by
            "account": account.to_json(),
            BYTES_READ: num_bytes(documents.column("text")),
            MARKUP: count_markup(applied.batch.column("text")),
            FILES_READ: sorted({each.file.number for each, of in zip(blocks, parsed, strict=True) if of.num_records}),
            BYTES_REMOVED: dict(removed),
            FILES_CUT: cut,
            "changed": dict(applied.changed + passed_over),
            "examples": [list(each) for each in few_of(applied.examples)],
        }
        return Part(facts, written)


def _concatenated(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    full = [batch for batch in batches if batch.num_rows] or batches[:1]  # a table of no rows has no batches
    if len(full) == 1:
        return full[0]
    return pa.Table.from_batches(full, SCHEMA).combine_chunks().to_batches()[0]


def failed_records(documents: pa.RecordBatch, failed: list[Failed]) -> Iterator[tuple[int, Quarantined]]:
    """Yield what goes to quarantine of documents that a rule could not read, each with its file's number."""
    chosen = documents.take(pa.array([each.position for each in failed], pa.int64()))
    for each, row in zip(failed, chosen.to_pylist(), strict=True):
        yield row["file"], Quarantined(row["row"], None, each.reason, row["text"].encode())


def _account(
    num_records: int, documents: pa.RecordBatch, applied: Applied, quarantined: list[tuple[NumberedFile, Quarantined]]
) -> Account:
    bad_files = np.array([file.number for file, _ in quarantined], np.int32)
    bad_rows = np.array([record.row for _, record in quarantined], np.int64)
    unread = quarantined[: len(quarantined) - len(applied.failed)]
    read = fingerprint(*keys_of(documents))
    unread_files = np.array([file.number for file, _ in unread], np.int32)
    unread_rows = np.array([record.row for _, record in unread], np.int64)
    return Account(
        num_in=num_records,
        num_out=applied.batch.num_rows,
        quarantined=Counter(record.reason for _, record in quarantined),
        fingerprint_in=(read + fingerprint(unread_files, unread_rows)) % MODULUS,
        fingerprint_out=fingerprint(*keys_of(applied.batch)),
        fingerprint_quarantined=fingerprint(bad_files, bad_rows),
    )
