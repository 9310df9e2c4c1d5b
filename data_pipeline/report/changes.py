"""What the page shows of the changes of texts: a few of each kind, before and after."""

from __future__ import annotations

from collections.abc import Sequence

from data_pipeline.clean.rules import Example
from foundation.page import Page, Pair
from foundation.text import one_line


def show_changes(page: Page, examples: Sequence[Example]) -> None:
    """Add a section, none where nothing was changed that has examples."""
    if not examples:
        return
    page.section("Changed texts")
    page.text(
        "A few of each kind of change, as a rule found the text and as it left it; how often each was made is below."
    )
    for kind in sorted({each.kind for each in examples}):
        page.heading(kind.replace("_", " "))
        pairs = [each for each in examples if each.kind == kind]
        page.pairs([Pair(one_line(each.before, 60), "", "before", each.before, "after", each.after) for each in pairs])
