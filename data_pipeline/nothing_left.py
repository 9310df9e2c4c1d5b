"""The error of a source that no document is left of: what took them out, one of them as evidence, what to type."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from data_pipeline.ledger import Account, Book
from foundation.errors import GroundworkError
from foundation.text import one_line

LOOSEN = {
    "clean": "clean.rules.<rule>.<limit>= sets a limit, clean=none takes nothing out",
    "exact": "dedup=none takes nothing out",
    "near": "dedup.threshold= sets the limit, dedup=exact takes out copies alone",
    "decontaminate": "decontaminate.min_coverage= sets the limit, decontaminate=none takes nothing out",
}


class NothingLeft(GroundworkError):
    """A stage left no document of a source."""


def check_left(
    books: Sequence[tuple[str, Book]], training: dict[str, int], advice: dict[str, str], files: Sequence[Path]
) -> None:
    """Raise when the last of these stages left a source no document to train on.

    Args:
        books: stage and its book, in the order of the stages.
        training: source -> documents left to train on, where the stage knows; else all that it gave out count.
        advice: source -> what else to try with it.
        files: that the stage wrote, the evidence of what it removed among them.
    Raises:
        NothingLeft: says how many came in, what they were taken out for, and what to do.
    """
    stage, book = books[-1]
    for source, account in book.items():
        if not training.get(source, account.num_out):
            passed = [(name, earlier[source]) for name, earlier in books if source in earlier]
            raise NothingLeft(_message(stage, source, passed, files) + advice[source])


def _message(stage: str, source: str, passed: Sequence[tuple[str, Account]], files: Sequence[Path]) -> str:
    taken = [
        f"{name}: {reason} {count:,}"
        for name, account in passed
        for reason, count in (account.dropped + account.quarantined).most_common()
    ]
    read = passed[0][1].num_in
    loosen = [f"{name}: {LOOSEN[name]}" for name, account in passed if account.dropped and name in LOOSEN]
    return (
        f"source {source!r}: no document is left to train on after {stage}: {_counted(read)} read "
        f"({'; '.join(taken) or 'the input is empty'}{_example(source, files)}). "
        + (f"Loosen the rules ({'; '.join(loosen)}), or give other input" if loosen else "Give other input")
    )


def _counted(records: int) -> str:
    return "1 record was" if records == 1 else f"{records:,} records were"


def _example(source: str, files: Sequence[Path]) -> str:
    """Return the measure of the first removed document that has one."""
    for path in files:
        if path.suffix == ".parquet":
            for row in pq.read_table(path, columns=["id", "source", "reason", "value", "threshold"]).to_pylist():
                if row["source"] == source and row["value"] is not None:
                    measured = f"{row['reason']} {row['value']:,.6g}, limit {row['threshold']:,.6g}"
                    return f"; e.g. {one_line(row['id'], 90)}: {measured}"
    return ""
