"""Filter: the limits of the rules on the stored scores. No text is read but that of what goes and of a few samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.clean.empty import EMPTY
from data_pipeline.clean.histogram import count, count_labels, sides, times_broken
from data_pipeline.clean.rules import MAX_LOSS, Rule, Scores
from data_pipeline.clean.settings import in_order
from data_pipeline.documents import Removal, Removals, fingerprint
from data_pipeline.ledger import Account, Book
from data_pipeline.limits import RuleLimit
from data_pipeline.output_dir import REMOVED
from data_pipeline.records import Part, Records
from data_pipeline.stages.before import Before
from data_pipeline.stages.measured import Measured
from data_pipeline.stages.removed import Origin, rows_of
from data_pipeline.stages.shown import candidates, lots
from data_pipeline.stages.stage import (
    BYTES_REMOVED,
    BYTES_REWRITTEN,
    Outcome,
    Stage,
    Task,
    Workplace,
    bytes_in_and_removed,
    do_parts,
    task,
)
from data_pipeline.stages.view import CLEAN, SCORES, Slice, View, decision_path, keys_path, scores_path
from data_pipeline.storage import read_arrays, write_arrays, write_removed
from foundation.hashes import hash_bytes, hash_json
from foundation.progress import progress

FILTER = "filter"
MEASURED = "measured"  # in facts


class Filter(Stage):
    """Removes documents that break a limit of the rules, and first of all, whatever the rules, those without a word.

    An empty document would be an end-of-text token alone. Cleaning may have left it empty after a rule had measured it,
    so that is asked of the texts as the last rule left them.

    Args:
        rule: of `clean`.
        raw: its plain config.
    """

    name = FILTER
    title = "filter"
    code = (
        "clean",
        "stages/before.py",
        "stages/described.py",
        "stages/filter.py",
        "stages/measured.py",
        "stages/removed.py",
        "stages/shown.py",
    )
    loosen = "clean.rules.<rule>.<limit>= sets a limit, clean=none takes empty texts alone"

    def __init__(self, place: Workplace, rule: Rule, raw: dict[str, Any]) -> None:
        super().__init__(place)
        self._rule = rule
        decides = {name: value for name, value in raw.items() if name != MAX_LOSS}  # that decides no document
        self._decides = in_order(decides)

    def settings(self) -> Any:
        """With what was measured, as cleaning found it: its turn is over."""
        return {"clean": self._decides, SCORES: self._scores()}

    def run(self, view: View, before: Book) -> Outcome:
        book: Book = {source: Account() for source in before}
        gone: list[np.ndarray] = [np.zeros(0, np.int64)]
        files: list[Path] = []
        with progress(self.name, len(view.alive), "docs") as meter:
            function = _FilterPartition(self._rule, self.place.output_dir, self.place.work, view.file_names)
            measured, removed = Measured(self._rule, list(before)), {source: Counter[str]() for source in before}
            rewritten = {source: np.zeros(3, np.int64) for source in before}
            for name, facts in do_parts(self.place.executor, self.records, self._tasks(view), function):
                account = Account.from_json(facts["account"])
                book[facts["source"]] += account
                removed[facts["source"]].update(facts["bytes_removed"])
                rewritten[facts["source"]] += facts[BYTES_REWRITTEN]
                arrays = read_arrays(gone_path(self.folder, name))
                gone.append(arrays.pop("gone") + facts["first_index"])
                measured.add(facts["source"], arrays)
                files += self.records.files(name)
                meter.add(account.num_in)
        indices = np.concatenate(gone)
        path = decision_path(self.place.work, self.name)
        write_arrays(path, {"gone": indices})
        return Outcome(
            output=hash_bytes(indices.astype("<i8").tobytes()),
            book=book,
            files=[*files, path],
            facts={
                "bytes_in_and_removed": bytes_in_and_removed(view, indices),
                BYTES_REMOVED: {source: dict(sorted(by_reason.items())) for source, by_reason in removed.items()},
                BYTES_REWRITTEN: {source: numbers.tolist() for source, numbers in rewritten.items()},
                MEASURED: measured.facts(self.place.executor, view, self.name),
            },
        )

    def check(self, books: Sequence[tuple[str, Book]]) -> None:
        limit = RuleLimit(self._rule.max_loss_frac, self._rule.owners)
        limit.check(books[-1][1], self.place.output_dir / REMOVED / self.name)

    def _scores(self) -> list[str]:
        scores: list[str] = Records(self.place.work / CLEAN, self.place.output_dir).facts("stage")["facts"][SCORES]
        return scores

    def _tasks(self, view: View) -> Iterator[Task[tuple[Slice, int]]]:
        names = hash_json(view.file_names)  # these and the source stand in every row of the evidence
        first_files: dict[str, int] = {}
        for number, scores in enumerate(self._scores()):
            partition = view.partitions[number]
            piece = view.piece(number, np.ones(partition.num_docs, bool))
            if partition.num_docs:
                first_files.setdefault(partition.source, int(view.files[piece.first_index]))
            first_file = first_files.get(partition.source, 0)
            place = [partition.source, names, piece.first_index, first_file]
            key = hash_json([self._decides, self.code_hash, piece.content_hash, scores, place])
            yield task(self.records, piece.partition.name, key, (piece, first_file))


@dataclass(frozen=True, slots=True)
class _FilterPartition:
    """Runs in a worker: decide, write what goes."""

    rule: Rule
    output_dir: Path
    work: Path
    file_names: list[str]

    def __call__(self, item: tuple[Slice, int]) -> Part:
        """Args: item: a partition, and the number of its source's first file."""
        piece, first_file = item
        name, source = piece.partition.name, piece.partition.source
        scores = read_arrays(scores_path(self.work, name))
        before = Before.read(self.work, name)
        decided = _with_empty(self.rule.decide(scores), before.empty, piece.partition.num_docs)
        removals = sorted((each for removals in decided for each in removals), key=lambda removal: removal.position)
        gone = np.array([removal.position for removal in removals], np.int64)
        keys = read_arrays(keys_path(self.work, name))
        account = _account(keys, gone, removals)
        account.check(f"{FILTER}, partition {name} of source {source!r}")
        path = gone_path(self.work / FILTER, name)
        lot = lots(keys["files"], keys["rows"], first_file)
        measured = self._measured(scores, keys["sizes"], decided, before.empty, lot, piece.first_index)
        write_arrays(path, {"gone": gone, **measured})
        removed: Counter[str] = Counter()
        for removal in removals:
            removed[removal.reason] += int(keys["sizes"][removal.position])
        stays = np.delete(np.arange(piece.partition.num_docs), gone)
        return Part(
            {
                "account": account.to_json(),
                "bytes_removed": removed,
                BYTES_REWRITTEN: [len(stays), *(int(each[stays].sum()) for each in (before.sizes, keys["sizes"]))],
                "source": source,
                "first_index": piece.first_index,
            },
            [path, *self._write_removed(piece, removals, before)],
        )

    def _measured(
        self,
        scores: Scores,
        sizes: np.ndarray,
        decided: list[Removals],
        empty: np.ndarray,
        lot: np.ndarray,
        first_index: int,
    ) -> dict[str, np.ndarray]:
        """Return what `Measured.add` takes of a partition; no other limit would keep a document of `empty`."""
        of = sides(self.rule.limits)
        gone = np.zeros(len(sizes), bool)
        for removals in decided:
            gone[removals.positions] = True
        by_no_limit = self._by_no_limit(scores, decided, len(sizes))
        by_no_limit[empty] = True
        times = times_broken(of, scores, by_no_limit)
        histograms = count(of, scores, sizes, times)
        labels = [count_labels(choice, scores, sizes, gone) for choice in self.rule.choices]
        return {
            "rows": histograms.rows,
            "taken": histograms.taken,
            "candidates": candidates(of, scores, times, lot, first_index),
            **{f"labels_{number}": counts for number, counts in enumerate(labels)},
        }

    def _by_no_limit(self, scores: Scores, decided: list[Removals], num_docs: int) -> np.ndarray:
        """Return which documents go by a label or by a rule's own decision, (documents,) bool."""
        reasons = {reason for limit in self.rule.limits for reason in (limit.below, limit.above)}
        gone = np.zeros(num_docs, bool)
        for choice in self.rule.choices:
            gone[choice.unwanted(scores)] = True
        for removals in decided:
            gone[removals.positions] |= removals.reason not in reasons
        return gone

    def _write_removed(self, piece: Slice, removals: list[Removal], before: Before) -> list[Path]:
        path = self.output_dir / REMOVED / FILTER / f"{piece.partition.name}.parquet"
        if not removals:
            return write_removed(path, [])
        origin = Origin(FILTER, piece.partition.source, self.file_names)
        rows = rows_of(piece.load(), removals, origin, [None] * len(removals), whole=True)
        emptied = dict(zip(before.empty.tolist(), before.emptied, strict=True))
        for row, removal in zip(rows, removals, strict=True):
            if removal.position in emptied:  # what is left of its text shows nothing
                row["rule"], row["snippet"] = emptied[removal.position]
        return write_removed(path, rows)


def _with_empty(decided: list[Removals], empty: np.ndarray, num_docs: int) -> list[Removals]:
    """Return removals for EMPTY, then those of other documents; empty: (m,) int64 positions, ascending."""
    if not len(empty):
        return decided
    is_empty = np.zeros(num_docs, bool)
    is_empty[empty] = True
    others = (removals.rows(np.flatnonzero(~is_empty[removals.positions])) for removals in decided)
    return [Removals(EMPTY, empty), *(removals for removals in others if len(removals))]


def _account(keys: dict[str, np.ndarray], gone: np.ndarray, removals: list[Removal]) -> Account:
    """Return the account of a partition; keys: as cleaning wrote them."""
    files, rows = keys["files"], keys["rows"]
    stays = np.ones(len(files), bool)
    stays[gone] = False
    return Account(
        num_in=len(files),
        num_out=int(stays.sum()),
        dropped=Counter(removal.reason for removal in removals),
        fingerprint_in=fingerprint(files, rows),
        fingerprint_out=fingerprint(files[stays], rows[stays]),
        fingerprint_dropped=fingerprint(files[gone], rows[gone]),
    )


def gone_path(folder: Path, partition: str) -> Path:
    """Return the file of what goes of a partition: `gone`, (m,) int64 positions in it."""
    return folder / f"{partition}.npz"
