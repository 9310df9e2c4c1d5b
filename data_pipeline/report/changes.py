"""What the page shows of the changes of texts: a few of each kind, before and after."""

from __future__ import annotations

from collections.abc import Sequence

from data_pipeline.clean.rules import Example
from foundation.page import Page, Pair
from foundation.text import one_line

LABEL_CHARS = 60  # of a pair


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
        "first difference on. They are in the training shards, behind all documents of their source; these are there "
        "too, unchanged."
    )
    _show(page, examples, "document", "copy")


def _show(page: Page, examples: Sequence[Example], left: str, right: str) -> None:
    for kind in sorted({each.kind for each in examples}):
        page.heading(kind.replace("_", " "))
        pairs = [each for each in examples if each.kind == kind]
        page.pairs(
            [Pair(one_line(each.before, LABEL_CHARS), "", left, each.before, right, each.after) for each in pairs]
        )
