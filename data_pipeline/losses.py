"""What stages removed, in words: a warning when it is much of a source, an error when nothing is left of one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_pipeline.ledger import Account, Book, listed, total
from data_pipeline.output_dir import REMOVED
from data_pipeline.storage import read_removed
from data_pipeline.unreadable import first_unreadable
from foundation.errors import GroundworkError
from foundation.progress import human
from foundation.text import number_of, one_line

LARGE_FRAC = 0.1  # of the documents or of their text; less is the usual work of the rules
MIN_CHANGED_DOCS, MIN_CHANGED_BYTES = (
    100,
    1_000_000,
)  # of fewer and less nothing is said
FRAGMENTS_FRAC = 0.25  # of the documents; a few begin with a tag in any corpus of Markdown
COLUMNS = ["id", "source", "reason", "rule", "value", "threshold"]  # of the evidence


_AS_IT_IS = ", or go on where the markup itself is what a model shall learn"


class NothingLeft(GroundworkError):
    """A stage left no document of a source to train on."""


def verdict(row: Mapping[str, Any]) -> str:
    """Return why a document went: `too_few_words 3, limit 5`. A label has no limit, a user's rule may tell no value; of
    an empty text: `empty by c4`, where a rule emptied it."""
    value, limit = (None if row[key] is None or math.isnan(row[key]) else row[key] for key in ("value", "threshold"))
    measured = "" if value is None else f" {value:,.6g}"
    by = f" by {row['rule']}" if row.get("rule") else ""
    return f"{row['reason']}{by}{measured}" + ("" if limit is None else f", limit {limit:,.6g}")


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


def large_changes(stage: str, rewritten: Mapping[str, Sequence[int]]) -> list[str]:
    """Return a line for each source whose documents stay, and have lost much of their text to the rules.

    Args:
        rewritten: source -> how many documents stay, bytes of their text as it was read, and as the rules left it.
    """
    return [
        f"{stage}: the rules took {1 - left / read:.0%} of the text of source {source!r} out of documents that stay "
        f"({human(read, 'B')} of text became {human(left, 'B')}); where these were pages of HTML that is usual, of "
        "other text a rule was made for another kind (clean.rules); the page of the run shows some of what was changed"
        for source, (num_docs, read, left) in rewritten.items()
        if read - left > LARGE_FRAC * read and (num_docs >= MIN_CHANGED_DOCS or read >= MIN_CHANGED_BYTES)
    ]


def large_markup(markup: Mapping[str, Mapping[str, int]], html_key: str) -> list[str]:
    """Return a line for each source of which many documents begin as HTML once the rules have had them, with the cure.

    Args:
        markup: source -> how many `documents` there are, and how many begin as `pages` and as `fragments` of HTML.
        html_key: config key of the rule that takes text out of HTML; empty where there is none.
    """
    lines = []
    for source, found in markup.items():
        num_docs, pages, fragments = (found[name] for name in ("documents", "pages", "fragments"))
        of = f"of {number_of(num_docs, 'document')} of source {source!r} begin"
        add = "" if html_key else "clean=web or clean=html"
        if pages > LARGE_FRAC * num_docs:
            how = f"add {add}" if add else f"look at {html_key}"
            lines.append(f"{pages:,} {of} as HTML pages and no rule took the text out of them; {how}{_AS_IT_IS}")
        if fragments > FRAGMENTS_FRAC * num_docs:
            key = html_key or "clean.rules.html"
            typed = f"{add and f'{add}, and '}{key}.only_html=always"
            lines.append(f"{fragments:,} {of} with a tag, as fragments of HTML do; add {typed}{_AS_IT_IS}")
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
    advice: Callable[[str], str],
    loosen: Mapping[str, str],
    files: Sequence[Path],
    markup: Callable[[str], str] = lambda source: "",
) -> None:
    """Raise when the last of these stages left a source no document to train on.

    Args:
        books: stage and its book, in the order of the stages.
        training: source -> documents left to train on, where the stage knows; else all that it gave out count.
        advice: returns what else to try with a source.
        loosen: stage -> what to set so that it removes less; empty where there is nothing.
        files: that the stage wrote, the evidence of what it removed among them.
        markup: returns what to say of a source whose documents begin as HTML, a sentence after a space, or nothing.
    Raises:
        NothingLeft: says how many came in, what became of them, and what to do.
    """
    stage, book = books[-1]
    for source, account in book.items():
        if not training.get(source, account.num_out):
            passed = [(name, earlier[source]) for name, earlier in books if source in earlier]
            message = _nothing_left(stage, source, passed, loosen, _example(source, files))
            raise NothingLeft(f"{message}{advice(source)}.{markup(source)}{first_unreadable(files, source)}")


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
        if row["source"] == source and (row["value"] is not None or row["rule"]):
            return f"; e.g. {one_line(row['id'], 90)}: {verdict(row)}"
    return ""
