"""How much stages may take before the run stops: unreadable records, what one rule takes, duplicates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pyarrow.compute as pc

from data_pipeline.ledger import Account, Book, listed, total
from data_pipeline.losses import COLUMNS, verdict
from data_pipeline.storage import read_removed
from data_pipeline.unreadable import first_unreadable
from foundation.errors import GroundworkError
from foundation.text import one_line

MIN_LOST = 100  # to duplicates, or to one rule: a smaller loss never stops a run, whatever its share
MOST_SHOWN = 3
SHOWN_CHARS = 160  # of the text that most duplicates went for
_PLACE = ["kept_file", "kept_row"]
T = TypeVar("T")


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
                f"{one_line(row['id'], 60)} ({verdict(row)}): {one_line(row['snippet'], 80)!r}"
                for row in rows.to_pylist()
            ]
        if all(len(shown[reason]) == most[reason] for reason in reasons):
            break
    return [each for reason in reasons for each in shown[reason]]


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
