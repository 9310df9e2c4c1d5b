"""What the page shows of the changes of texts: a few of each kind, before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from data_pipeline.clean.rules import Example
from data_pipeline.ledger import Book, total
from foundation.page import Page, Pair
from foundation.text import one_line

LABEL_CHARS = 60  # of a pair


def show_added(page: Page, books: Mapping[str, Book], titles: Mapping[str, str]) -> None:
    """Add a section on the copies that stages created, none where there are none.

    Args:
        books, titles: by stage.
    """
    rows: list[list[str | int]] = [
        [titles[stage], change, count, account.num_in]
        for stage, account in ((stage, total(book)) for stage, book in books.items())
        for change, count in account.created.most_common()
    ]
    if rows:
        page.section("What was added")
        page.table(["stage", "change", "copies", "to documents"], rows)


def show_changes(page: Page, examples: Sequence[Example]) -> None:
    """Add a section, none where nothing was changed that has examples."""
    if not examples:
        return
    page.section("Changed texts")
    page.text(
        "A few of each kind of change, as a rule found the text and as it left it; how often each was made is below."
    )
    _show(page, examples, "before", "after")


def show_copies(page: Page, examples: Sequence[Example]) -> None:
    """Add a section on copies of documents, none where there are none."""
    if not examples:
        return
    page.section("Changed copies")
    page.text(
        "A few copies that each change made, beside the documents that they were made of, from shortly before the "
        "first difference on. They are in the training shards, among the documents of their source; these are there "
        "too, unchanged."
    )
    _show(page, examples, "document", "copy")


def _show(page: Page, examples: Sequence[Example], left: str, right: str) -> None:
    for kind in sorted({each.kind for each in examples}):
        page.heading(kind.replace("_", " "))
        pairs = [
            Pair(one_line(" ".join(each.before.split()), LABEL_CHARS), "", left, each.before, right, each.after)
            for each in examples
            if each.kind == kind
        ]
        page.pairs(pairs, open_first=True)
