"""Progress of long work: a bar with rate and ETA on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

LINE_EVERY_S = 5.0  # without a terminal: seldom enough to read a log, often enough to see that it lives
UNITS = ("", "k", "M", "G", "T")


class Meter:
    """Counts finished work of one task. `add` is cheap: call it per batch. The arguments are those of `progress`."""

    def __init__(self, label: str, total: float | None, unit: str, what: str = "") -> None:
        self.label, self.total, self.unit = label, total, unit
        self.what = f" of {what}" if what else ""
        self.done = 0.0
        self.started = self._shown = time.monotonic()

    def add(self, amount: float) -> None:
        """Add finished work, in the meter's unit."""
        self.done += amount
        self._show()

    def expect(self, total: float) -> None:
        """Set the amount of work, where it was not known at the beginning."""
        self.total = total

    def _show(self) -> None:
        if time.monotonic() - self._shown >= LINE_EVERY_S:
            self._shown = time.monotonic()
            print(self.line(), file=sys.stderr, flush=True)

    def line(self) -> str:
        """Return the state in words: `encode: 12.0 MB of 19.8 MB (61 %), 5.1 MB/s, 2 s left`."""
        elapsed = max(time.monotonic() - self.started, 1e-9)
        rate = self.done / elapsed
        share = f" ({self.done / self.total:.0%})" if self.total else ""
        of = (f" of {human(self.total, self.unit)}" if self.total else "") + self.what + share
        left = (
            f", {(self.total - self.done) / rate:.0f} s left" if self.total and rate and self.done < self.total else ""
        )
        return f"{self.label}: {human(self.done, self.unit)}{of}, {human(rate, self.unit)}/s{left}"


class _BarMeter(Meter):
    def __init__(self, label: str, total: float | None, unit: str, what: str, bars: Progress) -> None:
        super().__init__(label, total, unit, what)
        self._bars = bars
        self._task = bars.add_task(label, total=total, unit=unit, what=self.what)

    def expect(self, total: float) -> None:
        super().expect(total)
        self._bars.update(self._task, total=total)

    def _show(self) -> None:
        self._bars.update(self._task, completed=self.done)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        unit = task.fields["unit"]
        of = f"/{human(task.total, unit)}" if task.total else ""
        done = f"{human(task.completed, unit)}{of}{task.fields['what']}"
        return Text(f"{done}  {human(task.finished_speed or task.speed or 0.0, unit)}/s")


@contextlib.contextmanager
def progress(label: str, total: float | None = None, unit: str = "", what: str = "") -> Iterator[Meter]:
    """Show the progress of one piece of work on stderr, and a closing line with its rate.

    Args:
        label: what is being done, e.g. `encode`.
        total: the amount of work in `unit`; None when it isn't known.
        unit: `B` for bytes, `docs`, `steps`, ...
        what: whose unit it is, where that is not plain: `input` and `text` differ in bytes.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        meter = Meter(label, total, unit, what)
        yield meter
        print(_closing(meter), file=sys.stderr, flush=True)
        return
    columns = (TextColumn("{task.description:<14}"), BarColumn(), _Rate(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        meter = _BarMeter(label, total, unit, what, bars)
        yield meter
    console.print(_closing(meter), highlight=False, markup=False)


def _closing(meter: Meter) -> str:
    elapsed = max(time.monotonic() - meter.started, 1e-9)
    done, rate = human(meter.done, meter.unit), human(meter.done / elapsed, meter.unit)
    return f"{meter.label}: {done}{meter.what} in {elapsed:.1f} s ({rate}/s)"


def human(amount: float | None, unit: str = "") -> str:
    """Return an amount with a decimal prefix: `19.8 MB`, `3.1 kdocs`, `12 docs`."""
    if amount is None:
        return "?"
    for prefix in UNITS:
        if abs(amount) < 1000 or prefix == UNITS[-1]:
            digits = 0 if prefix == "" and (amount >= 100 or amount == int(amount)) else 1
            return f"{amount:.{digits}f} {prefix}{unit}".rstrip()
        amount /= 1000
    raise AssertionError(amount)
