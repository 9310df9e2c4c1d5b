"""What a finished comparison prints: a line a tokenizer, and where the page is."""

from __future__ import annotations

import sys

from rich.table import Table

from data_pipeline.compare_tokenizers.compare import Result
from data_pipeline.compare_tokenizers.figures import Figures
from data_pipeline.ledger import listed
from data_pipeline.report.tables import print_tables
from foundation.progress import human
from foundation.text import number_of

COLUMNS = (
    "vocabulary",
    "bytes a token",
    "tokens a word",
    "to the first",
    "tokens of 1 GB",
    "never used",
    "single bytes",
)


def report(result: Result) -> None:
    """Print the figures to stdout, warnings to stderr."""
    sample = result.sample
    if sample.unreadable:
        print(f"warning: left out, unreadable: {listed(sample.unreadable)}", file=sys.stderr)
    for each in result.figures:
        if each.lost is not None:
            lost = each.whole.documents - each.came_back
            texts = "1 text doesn't" if lost == 1 else f"{lost:,} texts don't"
            print(f"warning: {each.name}: {texts} come back byte for byte, first {each.lost.document}", file=sys.stderr)
    print(f"{human(int(sample.sizes.sum()), 'B')} of text, {number_of(len(sample.texts), 'document')}")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("tokenizer", overflow="fold")
    for name in COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    for each in result.figures:
        table.add_row(each.name, *_row(each))
    print_tables(table, stderr=False)
    print(f"figures: {result.figures_path}")
    print(f"page:    {result.page}")


def _row(each: Figures) -> tuple[str, ...]:
    used = each.coverage
    return (
        f"{each.vocab_size:,}",
        f"{each.whole.bytes_per_token or 0:.3f}",
        f"{each.whole.tokens_per_word or 0:.3f}",
        f"{each.against_first:.1%}",
        f"{each.of_1_gb / 1e6:,.1f} M",
        f"{used.unused / max(used.num_tokens, 1):.1%}",
        f"{used.singles / max(used.tokens, 1):.1%}",
    )
