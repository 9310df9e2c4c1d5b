"""What is to be known of the input, in words: for the closing table and below it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from data_pipeline.output_dir import QUARANTINE
from data_pipeline.stages.view import CLEAN
from foundation.progress import human
from foundation.text import number_of, one_line

NAMES_SHOWN = 3


def note(counts: Counter[str], num_files: int, without: Sequence[str] = ()) -> str:
    """Return what is to be known of the input, for the closing table: what was cut, what could change unseen.

    Args:
        without: names of the files without a record.
    """
    files = counts["files_without_checksum"]
    held = human(counts["bytes_without_checksum"], "B")
    cut, repeated = counts["files_cut_short"], counts["documents_with_repeated_id"]
    notes = [
        *without_a_record(without),
        f"{number_of(cut, 'file')} cut short" if cut else "",
        f"{number_of(repeated, 'document')} with the id of another one" if repeated else "",
        f"no checksum vouches for {files:,} of {number_of(num_files, 'file')} ({held})" if files else "",
    ]
    return "; ".join(filter(None, notes))


def without_a_record(names: Sequence[str]) -> list[str]:
    """Return which files have no record, in a line, none where each has one: a download that failed looks like this."""
    if not names:
        return []
    return [f"{number_of(len(names), 'file')} without a record ({_first_of(names, len(names))})"]


def warnings(num_cut: int, names: list[str]) -> list[str]:
    """Return what must be said of the files that were cut; `names` are those of the first."""
    if not num_cut:
        return []
    cut = f"{number_of(num_cut, 'file')} cut short ({_first_of(names, num_cut)})"
    return [
        f"{cut}: the last record ends before it is whole, and what followed is missing; the record is in "
        f"{QUARANTINE}/{CLEAN}; fetch what was cut again, and run again"
    ]


def _first_of(names: Sequence[str], number: int) -> str:
    """Return the first names of so many."""
    shown = names[:NAMES_SHOWN]
    return ", ".join(one_line(name, 80) for name in shown) + (", ..." if number > len(shown) else "")
