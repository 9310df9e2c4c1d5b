"""Augment: adds changed copies of training documents behind the corpus, where the stages to come find them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from data_pipeline.augment.augmentation import Augmentation, Change
from data_pipeline.augment.copies import copies_of
from data_pipeline.clean.extras import version_of
from data_pipeline.clean.rules import Example, few_of
from data_pipeline.clean.settings import in_order
from data_pipeline.documents import MODULUS, fingerprint, keys_of
from data_pipeline.ledger import Account, Book
from data_pipeline.records import Part
from data_pipeline.stages.stage import Outcome, Stage, Task, Workplace, do_parts, task
from data_pipeline.stages.view import Partition, Slice, View, batch_path, keys_path, num_bytes, write_partition
from foundation.hashes import hash_bytes, hash_file, hash_json
from foundation.progress import progress

AUGMENT = "augment"


class Augment(Stage):
    """The first copies of a partition's documents are a partition of their own, so are the second ones, and so on. They
    stand behind all documents that are no copies; in shards that are shuffled, among them.

    Args:
        raw: the plain config of `augment`.
    Raises:
        GroundworkError: a file that a change needs is missing or can't be used.
    """

    name = AUGMENT
    title = "augmentation"
    code = ("augment", "clean", "mix/lots.py", "stages/augment.py")
    libraries = ("numpy", "orjson", "pyarrow", "xxhash")

    def __init__(self, place: Workplace, augmentation: Augmentation, raw: dict[str, Any]) -> None:
        super().__init__(place)
        self._raw, self._changes = in_order(raw), augmentation.changes()
        self.is_off = not self._changes
        self._packages = {name: version_of(name) for each in self._changes.values() for name in each.packages()}
        self._inputs = [hash_file(path) for each in self._changes.values() for path in each.inputs()]

    def settings(self) -> Any:
        return {**self._raw, "packages": self._packages, "inputs": self._inputs}

    def run(self, view: View, before: Book) -> Outcome:
        made = _Made()
        if not self.is_off:
            with progress(self.name, int(view.sizes[view.training].sum()), "B", "text") as meter:
                function = _CopyPartition(self._changes, self.place.work)
                for name, part in do_parts(self.place.executor, self.records, self._tasks(view), function):
                    made.add(part)
                    made.files += self.records.files(name)
                    meter.add(part["utf8_bytes"])
        facts: dict[str, Any] = {"partitions": [asdict(each) for each in made.partitions]}
        if not self.is_off:
            facts |= {
                "counts": {"copies_unchanged": made.unchanged},
                "note": f"{made.unchanged:,} more came out unchanged" if made.unchanged else "",
                "examples": [list(each) for each in few_of(made.examples)],
            }
        return Outcome(
            output=hash_json(facts["partitions"]),
            book=_book(view.with_added(made.partitions), before, made),
            files=made.files,
            facts=facts,
            utf8_bytes=made.utf8_bytes,
        )

    def leaves(self, view: View, facts: dict[str, Any]) -> View:
        return view.with_added([Partition(**partition) for partition in facts["partitions"]])

    def _tasks(self, view: View) -> Iterator[Task[Slice]]:
        for piece in view.slices(view.training):
            place = [piece.partition.source, hash_bytes(piece.mask.tobytes())]
            key = hash_json([self.identity, piece.content_hash, place])
            yield task(self.records, piece.partition.name, key, piece)


@dataclass(slots=True)
class _Made:
    """What was made of all partitions. Attributes: created, fingerprints: by source; unchanged: copies left out."""

    partitions: list[Partition] = field(default_factory=list)
    created: dict[str, Counter[str]] = field(default_factory=dict)
    fingerprints: Counter[str] = field(default_factory=Counter)
    unchanged: int = 0
    examples: list[Example] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    utf8_bytes: int = 0

    def add(self, facts: dict[str, Any]) -> None:
        source = facts["source"]
        self.partitions += [Partition(**each) for each in facts["partitions"]]
        self.created.setdefault(source, Counter()).update(facts["created"])
        self.fingerprints[source] += int(facts["fingerprint"], 16)
        self.unchanged += facts["unchanged"]
        self.examples = few_of(self.examples + [Example(*each) for each in facts["examples"]])
        self.utf8_bytes += facts["utf8_bytes"]


def _book(after: View, before: Book, made: _Made) -> Book:
    """Return the book: what was created as workers counted it, what comes out by the keys that are stored.

    Args:
        after: with the copies.
    """
    if not made.partitions:
        return {
            source: Account(
                num_in=account.num_out,
                num_out=account.num_out,
                fingerprint_in=account.fingerprint_out,
                fingerprint_out=account.fingerprint_out,
            )
            for source, account in before.items()
        }
    book: Book = {}
    for source, mask in after.source_masks():
        stays = after.alive & mask
        book[source] = Account(
            num_in=before[source].num_out,
            num_out=int(stays.sum()),
            created=made.created.get(source, Counter()),
            fingerprint_in=before[source].fingerprint_out,
            fingerprint_out=fingerprint(after.files[stays], after.rows[stays]),
            fingerprint_created=made.fingerprints[source] % MODULUS,
        )
    return book


@dataclass(frozen=True, slots=True)
class _CopyPartition:
    """Runs in a worker: make the copies of a partition's documents, and write them as partitions."""

    changes: dict[str, Change]
    work: Path

    def __call__(self, piece: Slice) -> Part:
        documents, source = piece.load(), piece.partition.source
        partitions: list[Partition] = []
        examples: list[Example] = []
        created: Counter[str] = Counter()
        unchanged = keys = 0
        for copies in copies_of(self.changes, documents):
            unchanged += copies.unchanged
            examples = few_of(examples + copies.examples)
            if copies.batch.num_rows:
                created[copies.change] += copies.batch.num_rows
                keys += fingerprint(*keys_of(copies.batch))
                name = f"{piece.partition.name}-{copies.number}"
                partitions.append(write_partition(self.work, name, source, copies.batch, AUGMENT))
        facts = {
            "source": source,
            "partitions": [asdict(each) for each in partitions],
            "created": dict(created),
            "fingerprint": f"{keys % MODULUS:032x}",
            "unchanged": unchanged,
            "examples": [list(each) for each in examples],
            "utf8_bytes": num_bytes(documents.column("text")),
        }
        return Part(
            facts, [path(self.work, each.name, AUGMENT) for each in partitions for path in (batch_path, keys_path)]
        )
