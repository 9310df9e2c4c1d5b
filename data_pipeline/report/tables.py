"""Tables that are printed: as wide as the terminal, of any width in a log."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

UNWRAPPED = 10_000  # columns, where there is no terminal: a log and a pager have lines of any length


def console(stderr: bool = True) -> Console:
    """Return the console of stderr, or of stdout."""
    made = Console(stderr=stderr)
    if not made.is_terminal:
        made.width = UNWRAPPED
    return made


def print_tables(*tables: Table | str, stderr: bool = True) -> None:
    """Print tables, and lines between them, to stderr or to stdout; no line ends with spaces."""
    made = console(stderr)
    with made.capture() as captured:
        for each in tables:
            made.print(each)
    for line in captured.get().splitlines():
        print(line.rstrip(), file=sys.stderr if stderr else sys.stdout)


def table(left: Sequence[str], right: Sequence[str]) -> Table:
    """Return an empty table: columns of words, then columns of numbers."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for name in left:
        made.add_column(name, overflow="fold")  # where the terminal is too narrow, these are wrapped
    for name in right:
        made.add_column(name, justify="right", no_wrap=True)
    return made
