"""The page's section on the test sets: what the corpus held of them, and whether planted copies were found."""

from __future__ import annotations

from pathlib import Path

from data_pipeline.output_dir import DECONTAMINATION
from foundation.files import read_json
from foundation.page import Page


def show_contamination(page: Page, output_dir: Path) -> None:
    """Add the section; none where nothing was sought.

    Args:
        output_dir: of the pipeline.
    """
    path = output_dir / DECONTAMINATION / "summary.json"
    if not path.is_file():
        return
    summary = read_json(path)
    page.section("Test sets")
    page.text(
        "What the documents held before any of them went. Contaminated: one held at least decontaminate.min_coverage "
        "of the item's words that count (those in n-grams that are no common phrases) and half of that share of all "
        "its words, and went, or lost its sentences. Partial: some hold less of it, and stay as they are unless they "
        "hold another item. "
        "Clean: none holds an n-gram of it that is no common phrase. Too short, or of common phrases alone: not "
        f"sought, so that nothing is known. {DECONTAMINATION}/ has a line an item, with the documents and where it "
        "lies in them, and for evaluators the items that are clean."
    )
    statuses = list(next(iter(summary["sets"].values())))
    rows: list[list[str | int]] = [
        [name, sum(counts.values()), *(counts[status] for status in statuses)]
        for name, counts in summary["sets"].items()
    ]
    page.table(["test set", "items", *(status.replace("_", " ") for status in statuses)], rows)
    num_items = sum(sum(counts.values()) for counts in summary["sets"].values())
    page.text(
        "What these settings find: copies of items were planted in made-up documents, which are no part of the corpus. "
        f"Planted are some of the {summary['sought']:,} items that are sought, of {num_items:,} in all: what is too "
        "short or a common phrase is never found. "
        "A truncated copy is the first three quarters of an item; of one of few words that is too little to be found."
    )
    planted: list[list[str | int]] = [
        [kind, each["planted"], each["found"], f"{each['found'] / each['planted']:.1%}" if each["planted"] else ""]
        for kind, each in summary["planted"].items()
    ]
    page.table(["copy", "planted", "found", "recall"], planted)
