"""The epochs of a run: a row for each pass over a source, and for each over all of them."""

from __future__ import annotations

import math

import numpy as np

from foundation.page import Page, number
from foundation.page.page import Cell
from pretrain.metrics.console import clock
from pretrain.metrics.epochs import ALL, Epoch
from pretrain.metrics.page.history import History

MAX_ROWS, LONG = 200, 12  # of the table: the newest; longer ones are folded
VALIDATION = "val_loss"
ABOUT = (
    "A row a pass over the data. The loss is the mean over the targets of its steps, skipped ones left out; the "
    "validation loss is that of the evaluation nearest to its end, where one lies within half of its length. A step in "
    "which an epoch ends belongs to it."
)
ABOUT_SOURCES = (
    f" The loss and tokens of a source are its own; {ALL} have been read once more when the one that is read least has."
)


def add_epochs(page: Page, history: History) -> None:
    """Add the table, where a source has been read once."""
    if not history.passes:
        return
    page.section("Epochs")
    several = any(epoch.source == ALL for epoch in (*history.passes, *(each for each, _ in history.under_way)))
    page.text(ABOUT + (ABOUT_SOURCES if several else ""))
    if len(history.passes) > MAX_ROWS:
        page.text(f"The last {MAX_ROWS} of {len(history.passes):,}.")
    ended = {epoch.source for epoch in history.passes}
    rows = [_row(history, epoch, "") for epoch in history.passes[-MAX_ROWS:]]
    rows += [_row(history, epoch, f", {share:.0%} read") for epoch, share in history.under_way if epoch.source in ended]
    headers = ["source", "epoch", "steps", "training loss", "validation loss", "at step", "tokens", "time", "skipped"]
    first = 0 if several else 1
    rows = [row[first:] for row in rows]
    if len(rows) > LONG:
        page.folded_table(f"{len(rows)} epochs", headers[first:], rows)
    else:
        page.table(headers[first:], rows)


def _row(history: History, epoch: Epoch, remark: str) -> list[Cell]:
    at, loss = _validation(history, epoch)
    passes = f"{epoch.number - epoch.count + 1} to {epoch.number}" if epoch.count > 1 else str(epoch.number)
    since = "" if epoch.whole else ", not from its beginning"
    return [
        epoch.source,
        f"{passes}{remark}{since}",
        f"{number(epoch.first_step)} to {number(epoch.last_step)}",
        epoch.loss if epoch.tokens else None,
        loss,
        at,
        epoch.tokens if epoch.tokens else None,
        clock(epoch.time_s),
        epoch.skipped,
    ]


def _validation(history: History, epoch: Epoch) -> tuple[int | None, float | None]:
    """Return step and validation loss nearest to an epoch's end, of its own source where that is known."""
    for name in (f"{VALIDATION}/{epoch.source}", VALIDATION):
        steps, values = history.evaluations(name)
        if len(steps):
            nearest = int(np.abs(steps - epoch.last_step).argmin())
            half = math.ceil((epoch.last_step - epoch.first_step + 1) / 2)
            is_near = abs(int(steps[nearest]) - epoch.last_step) <= half
            return (int(steps[nearest]), float(values[nearest])) if is_near else (None, None)
    return None, None
