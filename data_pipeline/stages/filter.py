"""Filter: the limits of the rules on the scores that cleaning stored. No text is read but that of what goes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.clean.histogram import EMPTY, Histogram, count
from data_pipeline.clean.rules import MAX_LOSS, NoClean, Rule
from data_pipeline.documents import Removal, Removals, fingerprint
from data_pipeline.ledger import Account, Book
from data_pipeline.losses import RuleLimit
from data_pipeline.output_dir import REMOVED
from data_pipeline.records import Part, Records
from data_pipeline.stages.clean import SCORES
from data_pipeline.stages.removed import Origin, rows_of
from data_pipeline.stages.stage import Outcome, Stage, Task, Workplace, bytes_in_and_removed, do_parts, task
from data_pipeline.stages.view import CLEAN, Slice, View, decision_path, keys_path, scores_path
from data_pipeline.storage import read_arrays, write_arrays, write_removed
from foundation.hashes import hash_bytes, hash_json
from foundation.progress import progress

FILTER = "filter"
SCORE_LIMITS = "limits"  # in facts


class Filter(Stage):
    """Removes the documents that break a limit of the rules.

    Args:
        rule: of `clean`.
        raw: its plain config.
    """

    name = FILTER
    title = "filter"
    code = ("clean", "stages/filter.py", "stages/removed.py")
    loosen = "clean.rules.<rule>.<limit>= sets a limit, clean=none removes nothing"

    def __init__(self, place: Workplace, rule: Rule, raw: dict[str, Any]) -> None:
        super().__init__(place)
        self._rule = rule
        self._decides = {name: value for name, value in raw.items() if name != MAX_LOSS}  # that decides no document
        self.is_off = isinstance(rule, NoClean)

    def settings(self) -> Any:
        """With what was measured, as cleaning found it: its turn is over."""
        return {"clean": self._decides, SCORES: self._scores()}

    def run(self, view: View, before: Book) -> Outcome:
        book: Book = {source: Account() for source in before}
        gone: list[np.ndarray] = [np.zeros(0, np.int64)]
        files: list[Path] = []
        with progress(self.name, len(view.alive), "docs") as meter:
            function = _FilterPartition(self._rule, self.place.output_dir, self.place.work, view.file_names)
            histograms = [EMPTY] * len(self._rule.limits)
            for name, facts in do_parts(self.place.executor, self.records, self._tasks(view), function):
                here = (Histogram(**each) for each in facts["histograms"])
                histograms = [sum_ + each for sum_, each in zip(histograms, here, strict=True)]
                account = Account.from_json(facts["account"])
                book[facts["source"]] += account
                gone.append(read_arrays(gone_path(self.folder, name))["gone"] + facts["first_index"])
                files += self.records.files(name)
                meter.add(account.num_in)
        indices = np.concatenate(gone)
        path = decision_path(self.place.work, self.name)
        write_arrays(path, {"gone": indices})
        return Outcome(
            output=hash_bytes(indices.astype("<i8").tobytes()),
            book=book,
            files=[*files, path],
            facts={"bytes_in_and_removed": bytes_in_and_removed(view, indices), SCORE_LIMITS: self._limits(histograms)},
        )

    def check(self, books: Sequence[tuple[str, Book]]) -> None:
        RuleLimit(self._rule.max_loss_frac).check(books[-1][1], self.place.output_dir / REMOVED / self.name)

    def _limits(self, histograms: list[Histogram]) -> list[dict[str, Any]]:
        """Return what the page shows of each limit: its fields, those that are infinite left out, and its histogram."""
        fields = [
            {name: value for name, value in asdict(limit).items() if value not in (math.inf, -math.inf)}
            for limit in self._rule.limits
        ]
        return [each | {"histogram": asdict(of_each)} for each, of_each in zip(fields, histograms, strict=True)]

    def _scores(self) -> list[str]:
        scores: list[str] = Records(self.place.work / CLEAN, self.place.output_dir).facts("stage")["facts"][SCORES]
        return scores

    def _tasks(self, view: View) -> Iterator[Task[Slice]]:
        names = hash_json(view.file_names)  # these and the source stand in every row of the evidence
        for number, scores in enumerate(self._scores()):
            partition = view.partitions[number]
            piece = view.piece(number, np.ones(partition.num_docs, bool))
            place = [partition.source, names, piece.first_index]
            key = hash_json([self._decides, self.code_hash, piece.content_hash, scores, place])
            yield task(self.records, piece.partition.name, key, piece)


@dataclass(frozen=True, slots=True)
class _FilterPartition:
    """Runs in a worker: decide, write what goes."""

    rule: Rule
    output_dir: Path
    work: Path
    file_names: list[str]

    def __call__(self, piece: Slice) -> Part:
        name, source = piece.partition.name, piece.partition.source
        scores = read_arrays(scores_path(self.work, name))
        decided = self.rule.decide(scores)
        removals = sorted((each for removals in decided for each in removals), key=lambda removal: removal.position)
        gone = np.array([removal.position for removal in removals], np.int64)
        keys = read_arrays(keys_path(self.work, name))
        account = _account(keys, gone, removals)
        histograms = count(self.rule.limits, scores, keys["sizes"], self._by_no_limit(decided, len(keys["rows"])))
        account.check(f"{FILTER}, partition {name} of source {source!r}")
        path = gone_path(self.work / FILTER, name)
        write_arrays(path, {"gone": gone})
        return Part(
            {
                "account": account.to_json(),
                "source": source,
                "first_index": piece.first_index,
                "histograms": [asdict(each) for each in histograms],
            },
            [path, *self._write_removed(piece, removals)],
        )

    def _by_no_limit(self, decided: list[Removals], num_docs: int) -> np.ndarray:
        """Return which documents go by a rule's own decision, (documents,) bool."""
        reasons = {reason for limit in self.rule.limits for reason in (limit.below, limit.above)}
        gone = np.zeros(num_docs, bool)
        for removals in decided:
            gone[removals.positions] |= removals.reason not in reasons
        return gone

    def _write_removed(self, piece: Slice, removals: list[Removal]) -> list[Path]:
        path = self.output_dir / REMOVED / FILTER / f"{piece.partition.name}.parquet"
        if not removals:
            return write_removed(path, [])
        origin = Origin(FILTER, piece.partition.source, self.file_names)
        return write_removed(path, rows_of(piece.load(), removals, origin, [None] * len(removals), whole=True))


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
