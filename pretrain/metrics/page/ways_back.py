"""When a run went back, why, and which batches it left out: a row a time, and one for each journal it was handed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from foundation.page import Page, number
from foundation.page.page import Cell
from foundation.text import one_line
from pretrain import journal
from pretrain.json_lines import read_lines
from pretrain.metrics.page.history import History
from pretrain.run_files import BLACKBOX, DROPPED, JOURNAL

HEADERS = ["at step", "what it did", "batches passed over", "learning rate", "why"]
MAX_ROWS, MAX_TEXT = 200, 200


def add_ways_back(page: Page, run_dir: Path, history: History) -> None:
    """Add the table, where a run went back or was handed batches to pass over."""
    rows = list(_rows(run_dir / JOURNAL))
    if not rows:
        return
    page.section("Ways back")
    page.text(
        f"Steps that were taken back stand in {DROPPED}, what was in the skipped ones in {BLACKBOX}/. Up to the last "
        f"step {number(passed_over(history))} batches were passed over; in epochs they count as read."
    )
    page.table(HEADERS, rows[-MAX_ROWS:])


def passed_over(history: History) -> int:
    """Return how many global batches no step took, up to the last step."""
    if not len(history.steps):
        return 0
    return int(history.columns["data_step"][-1]) + 1 - int(history.steps[-1])


def _rows(path: Path) -> Iterator[list[Cell]]:
    for line in read_lines(path):
        why = one_line(str(line.get("reason", "")), MAX_TEXT)
        match line:
            case {"event": journal.REPLAY, "at_step": int(step), "to_step": int(back)}:
                yield [step, f"back to step {number(back)}, the same steps again", "", "", why]
            case {"event": journal.REWIND, "at_step": int(step), "to_step": int(back)}:
                batches = f"{number(line.get('first_data_step'))} to {number(int(line.get('end_data_step', 0)) - 1)}"
                factor = float(line.get("lr_factor", 1))
                slower = f"x {factor:.3g} for {number(line.get('lr_cut_steps'))} steps" if factor < 1 else ""
                yield [step, f"back to step {number(back)}, on with other batches", batches, slower, why]
            case {"event": journal.TAKEN, "journal": str(other), "windows": list(windows)}:
                batches = ", ".join(f"{number(first)} to {number(end - 1)}" for first, end in windows)
                yield [None, "from the beginning", one_line(batches, MAX_TEXT), "", f"as {other} says"]
            case {"event": str(event), "at_step": int(step)} if event in journal.TOLD:
                yield [step, journal.TOLD[event], "", "", why]
