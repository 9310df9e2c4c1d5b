"""What stages removed, in words: a warning when it is much of a source, an error when nothing is left of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_pipeline.ledger import Account, Book, listed, total
from data_pipeline.output_dir import REMOVED
from data_pipeline.storage import read_removed
from data_pipeline.unreadable import first_unreadable
from foundation.errors import GroundworkError
from foundation.text import one_line

LARGE_FRAC = 0.1  # of the documents or of their text; less is the usual work of the rules
COLUMNS = ["id", "source", "reason", "value", "threshold"]  # of the evidence


class NothingLeft(GroundworkError):
    """A stage left no document of a source to train on."""


class TooManyUnreadable(GroundworkError):
    """More records are unreadable than may be."""


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


def large_losses(stage: str, book: Book, text_bytes: dict[str, list[int]]) -> list[str]:
    """Return a line for each source of which this stage removed much.

    Args:
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
            lines.append(
                f"{stage}: removed {gone:,} of {account.num_in:,} documents of source {source!r}{of_text}: "
                f"{listed(account.reasons())}; see removed/ and report.html"
            )
    return lines


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
    advice: dict[str, str],
    loosen: Mapping[str, str],
    files: Sequence[Path],
) -> None:
    """Raise when the last of these stages left a source no document to train on.

    Args:
        books: stage and its book, in the order of the stages.
        training: source -> documents left to train on, where the stage knows; else all that it gave out count.
        advice: source -> what else to try with it.
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
            raise NothingLeft(f"{message}{advice[source]}.{first_unreadable(files, source)}")


def _nothing_left(
    stage: str, source: str, passed: Sequence[tuple[str, Account]], loosen: Mapping[str, str], example: str
) -> str:
    read, held_out = passed[0][1].num_in, passed[-1][1].num_out
    became = _by_stage(passed)
    ways = [f"{name}: {loosen[name]}" for name, account in passed if account.dropped and loosen[name]]
    if held_out:  # by the split, which removes nothing
        became.append(f"split: held out {held_out:,}")
        ways.append(f"split: {loosen['split']}")
    records = "1 record was" if read == 1 else f"{read:,} records were"
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
            measured = f"{row['reason']} {row['value']:,.6g}, limit {row['threshold']:,.6g}"
            return f"; e.g. {one_line(row['id'], 90)}: {measured}"
    return ""
