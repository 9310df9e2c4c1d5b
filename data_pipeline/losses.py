"""What stages removed, in words: a warning when it is much of a source, an error when nothing is left of one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pyarrow.compute as pc

from data_pipeline.ledger import Account, Book, listed, total
from data_pipeline.output_dir import REMOVED
from data_pipeline.storage import read_removed
from data_pipeline.unreadable import first_unreadable
from foundation.errors import GroundworkError
from foundation.progress import human
from foundation.text import number_of, one_line

LARGE_FRAC = 0.1  # of the documents or of their text; less is the usual work of the rules
COLUMNS = ["id", "source", "reason", "value", "threshold"]  # of the evidence
MOST_SHOWN = 3
MIN_LOST = 100  # to duplicates, or to one rule: a smaller loss never stops a run, whatever its share
_PLACE = ["kept_file", "kept_row"]
T = TypeVar("T")
SHOWN_CHARS = 160  # of the text that most duplicates went for


class NothingLeft(GroundworkError):
    """A stage left no document of a source to train on."""


class TooManyUnreadable(GroundworkError):
    """More records are unreadable than may be."""


class TooManyDuplicates(GroundworkError):
    """More of a source's documents are duplicates than may be."""


class RuleTakesTooMuch(GroundworkError):
    """One rule of cleaning takes more of a source's documents than it may."""


@dataclass(frozen=True, slots=True)
class BadLimit:
    """How many unreadable records may be.

    Attributes:
        max_frac: of all records.
        min_records: fewer never stop a run.
    """

    max_frac: float
    min_records: int

    def check(self, book: Book, quarantine: Path) -> None:
        """Raise when too many were unreadable.

        Raises:
            TooManyUnreadable: says how many, why, where they are, and shows the first.
        """
        account = total(book)
        bad = account.quarantined.total()
        if bad < self.min_records or bad <= self.max_frac * account.num_in:
            return
        raise TooManyUnreadable(
            f"max_bad_frac: {bad:,} of {account.num_in:,} records ({bad / account.num_in:.2%}) are unreadable, more "
            f"than {self.max_frac:.2%} ({listed(account.quarantined)}); mend the input, or set max_bad_frac higher."
            f"{first_unreadable(quarantine.rglob('*'))}"
        )


@dataclass(frozen=True, slots=True)
class RuleLimit:
    """How many documents one rule may take.

    Attributes:
        max_frac: of a source's documents.
        owners: reason -> key of the rule that gives it, as of `Rule.owners`; any other reason is judged by itself.
    """

    max_frac: float
    owners: Mapping[str, str] = field(default_factory=dict)

    def check(self, book: Book, removed: Path) -> None:
        """Raise when a rule took too many of a source: mostly it is the wrong rule for it, or the wrong field is read.

        Args:
            removed: the folder that holds the evidence.
        Raises:
            RuleTakesTooMuch: says which rule and how many, for which reasons, and shows the first of them.
        """
        for source, account in book.items():
            for rule, reasons in self._by_rule(account).items():
                lost = reasons.total()
                if lost < MIN_LOST or lost <= self.max_frac * account.num_in:
                    continue
                why = "" if rule in reasons else f": {listed(reasons, MOST_SHOWN)}"
                largest = [reason for reason, _ in reasons.most_common(MOST_SHOWN)]
                raise RuleTakesTooMuch(
                    f"clean.max_loss_frac: {rule} takes {lost:,} of the {account.num_in:,} documents of source "
                    f"{source!r} ({lost / account.num_in:.1%}{why}), more than {self.max_frac:.1%}; for example "
                    f"{'; '.join(_shown(removed, source, largest))}. Where such documents should stay, set another "
                    "limit or leave the rule out (nothing is read again for a limit); where they should go, "
                    f"go on with clean.max_loss_frac=1. All of them are in {removed}"
                )

    def _by_rule(self, account: Account) -> dict[str, Counter[str]]:
        """Return what each rule took, by reason: by its config key, or by a reason that is no rule's of `owners`."""
        found: dict[str, Counter[str]] = {}
        for reason, lost in account.dropped.items():
            rule = f"clean.{self.owners[reason]}" if reason in self.owners else reason
            found.setdefault(rule, Counter())[reason] += lost
        return dict(sorted(found.items(), key=lambda each: (-each[1].total(), each[0])))


def _shown(removed: Path, source: str, reasons: Sequence[str]) -> list[str]:
    """Return some documents of a source that went for these reasons, the first of each, with what was measured."""
    least, more = divmod(MOST_SHOWN, len(reasons))
    most = {reason: least + (place < more) for place, reason in enumerate(reasons)}
    shown: dict[str, list[str]] = {reason: [] for reason in reasons}
    for path in sorted(removed.rglob("*.parquet")):
        table = read_removed(path, [*COLUMNS, "snippet"])
        mine = table.filter(pc.equal(table["source"], source))
        for reason in reasons:
            rows = mine.filter(pc.equal(mine["reason"], reason)).slice(0, most[reason] - len(shown[reason]))
            shown[reason] += [
                f"{one_line(row['id'], 60)} ({_verdict(row)}): {one_line(row['snippet'], 80)!r}"
                for row in rows.to_pylist()
            ]
        if all(len(shown[reason]) == most[reason] for reason in reasons):
            break
    return [each for reason in reasons for each in shown[reason]]


def _verdict(row: Mapping[str, Any]) -> str:
    """Return why a document went: `too_few_words 3, limit 5`. A label has no limit, a user's rule may tell no value."""
    value, limit = (None if row[key] is None or math.isnan(row[key]) else row[key] for key in ("value", "threshold"))
    measured = "" if value is None else f" {value:,.6g}"
    return f"{row['reason']}{measured}" + ("" if limit is None else f", limit {limit:,.6g}")


@dataclass(frozen=True, slots=True)
class DuplicateLimit:
    """How many duplicates may be.

    Attributes:
        max_frac: of a source's documents.
    """

    max_frac: float

    def check(self, books: Sequence[tuple[str, Book]], removed: Path) -> None:
        """Raise when a source lost too many to these stages together.

        Args:
            books: stage and its book, in the order of the stages.
            removed: the folder that holds each stage's evidence.
        Raises:
            TooManyDuplicates: says how many, and shows the text for which most of them went.
        """
        for source, first in books[0][1].items():
            gone = [(stage, book[source].dropped.total()) for stage, book in books if book[source].dropped]
            lost = sum(count for _, count in gone)
            if lost < MIN_LOST or lost <= self.max_frac * first.num_in:
                continue
            by_stage = ", ".join(f"{stage}: {count:,}" for stage, count in gone)
            folders = [removed / stage for stage, _ in gone]
            kept, begin, times = _hub(folders, source)
            raise TooManyDuplicates(
                f"dedup.max_loss_frac: {lost:,} of the {first.num_in:,} documents of source {source!r} "
                f"({lost / first.num_in:.1%}) are duplicates ({by_stage}), more than {self.max_frac:.1%}; {times:,} of "
                f"them went for one, {kept}, that begins {one_line(begin, SHOWN_CHARS)!r}. Where that is "
                "not what your documents hold, the wrong field is read as text: set the source's text_key to another. "
                "Where they are copies, go on with dedup.max_loss_frac=1; nothing is done twice. Each of them, with "
                f"the one it went for, is in {' and '.join(map(str, folders))}"
            )


def _hub(folders: Sequence[Path], source: str) -> tuple[str, str, int]:
    """Return the place and the beginning of the document that most of a source's duplicates went for, and how many."""
    paths = sorted(path for folder in folders for path in folder.rglob("*.parquet"))
    file, row = frequent(_places(paths, source))
    count, named, begin = 0, "", ""
    for path in paths:
        table = read_removed(path, ["source", *_PLACE, "kept_id", "kept_snippet"])
        is_its = pc.and_(pc.equal(table["kept_file"], file), pc.equal(table["kept_row"], row))
        its = table.filter(pc.and_(is_its, pc.equal(table["source"], source)))
        count += len(its)
        for found in its.slice(0, 1).to_pylist():
            named, begin = f"{one_line(found['kept_id'], 90)} ({file}, record {row:,} from 0)", found["kept_snippet"]
    return named, begin, count


def _places(paths: Iterable[Path], source: str) -> Iterator[tuple[tuple[str, int], int]]:
    """Yield file and row of documents that duplicates of a source went for, and how many, file after file."""
    for path in paths:
        table = read_removed(path, ["source", *_PLACE])
        mine = table.filter(pc.equal(table["source"], source)).group_by(_PLACE).aggregate([([], "count_all")])
        for row in mine.to_pylist():
            yield (row["kept_file"], row["kept_row"]), row["count_all"]


def frequent(counts: Iterable[tuple[T, int]], most: int = 1 << 16) -> T:
    """Return the most frequent item, or nearly so, of any number of them in little memory.

    Args:
        counts: items, each as often as it comes, with how often it was seen.
        most: items that are kept at a time, twice as many between two clearings. One that makes up more than
            1 / most of all is never lost.
    Source: Misra and Gries, "Finding repeated elements" (1982), whose decrements are taken in one go.
    """
    times: Counter[T] = Counter()
    for item, count in counts:
        if item not in times and len(times) >= 2 * most:  # before it comes in: where all are equal, none stays
            less = times.most_common(most + 1)[-1][1]
            times = Counter({each: number - less for each, number in times.items() if number > less})
        times[item] += count
    return times.most_common(1)[0][0]


def large_losses(stage: str, book: Book, text_bytes: dict[str, list[int]], evidence: Sequence[Path]) -> list[str]:
    """Return a line for each source of which this stage removed much.

    Args:
        evidence: the folders where what it removed is.
        text_bytes: source -> bytes of text that came in, bytes of it that were removed; a stage that removes nothing
            may leave it empty.
    """
    lines = []
    for source, account in book.items():
        came, went = text_bytes.get(source, [0, 0])
        gone = account.reasons().total()
        share = went / came if came else 0.0
        if gone > LARGE_FRAC * account.num_in or share > LARGE_FRAC:
            of_text = f" ({share:.0%} of the text)" if went else ""
            removed = f"removed {gone:,} of {number_of(account.num_in, 'document')} of source {source!r}{of_text}: "
            removed += listed(account.reasons())
            if not gone:
                removed = f"cut {share:.0%} of the text of source {source!r}"
            lines.append(f"{stage}: {removed}; see {' and '.join(map(str, evidence))}")
    return lines


def large_changes(stage: str, text_bytes: Mapping[str, Sequence[int]]) -> list[str]:
    """Return a line for each source whose documents stay, and have lost much of their text to the rules of this stage.

    Args:
        text_bytes: source -> bytes of their text as it was read, and as the rules left it.
    """
    return [
        f"{stage}: the rules took {1 - left / read:.0%} of the text of source {source!r} out of documents that stay "
        f"({human(read, 'B')} of text became {human(left, 'B')}); where these were pages of HTML that is usual, of "
        "other text a rule was made for another kind (clean.rules); the page of the run shows some of what was changed"
        for source, (read, left) in text_bytes.items()
        if read - left > LARGE_FRAC * read
    ]


def removed_before(books: Sequence[tuple[str, Book]]) -> str:
    """Return what earlier stages removed, as a clause that ends a message; empty when it was nothing.

    Args:
        books: stage and its book, in the order of the stages.
    """
    accounts = [(stage, total(book)) for stage, book in books if book]
    removed = _by_stage(accounts)
    return f"; {accounts[0][1].num_in:,} were read, earlier stages removed ({'; '.join(removed)})" if removed else ""


def check_left(
    books: Sequence[tuple[str, Book]],
    training: dict[str, int],
    advice: Callable[[str], str],
    loosen: Mapping[str, str],
    files: Sequence[Path],
) -> None:
    """Raise when the last of these stages left a source no document to train on.

    Args:
        books: stage and its book, in the order of the stages.
        training: source -> documents left to train on, where the stage knows; else all that it gave out count.
        advice: returns what else to try with a source.
        loosen: stage -> what to set so that it removes less; empty where there is nothing.
        files: that the stage wrote, the evidence of what it removed among them.
    Raises:
        NothingLeft: says how many came in, what became of them, and what to do.
    """
    stage, book = books[-1]
    for source, account in book.items():
        if not training.get(source, account.num_out):
            passed = [(name, earlier[source]) for name, earlier in books if source in earlier]
            message = _nothing_left(stage, source, passed, loosen, _example(source, files))
            raise NothingLeft(f"{message}{advice(source)}.{first_unreadable(files, source)}")


def _nothing_left(
    stage: str, source: str, passed: Sequence[tuple[str, Account]], loosen: Mapping[str, str], example: str
) -> str:
    read, held_out = passed[0][1].num_in, passed[-1][1].num_out
    became = _by_stage(passed)
    ways = [f"{name}: {loosen[name]}" for name, account in passed if account.dropped and loosen[name]]
    if held_out:  # by the split, which removes nothing
        became.append(f"split: held out {held_out:,}")
        ways.append(f"split: {loosen['split']}")
    records = f"{number_of(read, 'record')} {'was' if read == 1 else 'were'}"
    return (
        f"source {source!r}: no document is left to train on after {stage}: {records} read "
        f"({'; '.join(became) or 'the input is empty'}{example}). "
        + (f"Loosen the rules ({'; '.join(ways)}), or give other input" if ways else "Give other input")
    )


def _by_stage(accounts: Sequence[tuple[str, Account]]) -> list[str]:
    return [f"{stage}: {listed(account.reasons())}" for stage, account in accounts if account.reasons()]


def _example(source: str, files: Sequence[Path]) -> str:
    """Return the measure of the first removed document of a source that has one, as a clause."""
    tables = (read_removed(path, COLUMNS) for path in files if path.parent.parent.name == REMOVED)
    rows = (row for table in tables for row in table.to_pylist())
    for row in rows:
        if row["source"] == source and row["value"] is not None:
            return f"; e.g. {one_line(row['id'], 90)}: {_verdict(row)}"
    return ""
