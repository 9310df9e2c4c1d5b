"""Progress of long work: a bar with rate and ETA on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

LINE_EVERY_S = 5.0  # without a terminal: seldom enough to read a log, often enough to see that it lives
SHOWN_S = 0.1  # of compiling; less is none, in a closing line
UNITS = ("", "k", "M", "G", "T")
_aside_s = 0.0  # of this process


def set_aside(seconds: float) -> None:
    """Tell of time that compiling took: no rate counts it, the closing line names it."""
    global _aside_s
    _aside_s += seconds


def aside_s() -> float:
    """Return the seconds that were set aside since the process began."""
    return _aside_s


class Meter:
    """Counts finished work of one task. `add` is cheap: call it per batch. The arguments are those of `progress`."""

    def __init__(self, label: str, total: float | None, unit: str, what: str = "") -> None:
        self.label, self.total, self.unit = label, total, unit
        self.what = f" of {what}" if what else ""
        self.done = 0.0
        self.started = self._shown = time.monotonic()
        self._aside_s = _aside_s

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

    def compiled_s(self) -> float:
        """Return the seconds of its time that went into compiling."""
        return _aside_s - self._aside_s

    def rate(self) -> float:
        """Return the work done a second, in the meter's unit."""
        return self.done / max(time.monotonic() - self.started - self.compiled_s(), 1e-9)

    def line(self) -> str:
        """Return the state in words: `encode: 12.0 MB of 19.8 MB (61 %), 5.1 MB/s, 2 s left`."""
        rate = self.rate()
        share = f" ({self.done / self.total:.0%})" if self.total else ""
        of = (f" of {human(self.total, self.unit)}" if self.total else "") + self.what + share
        left = (
            f", {(self.total - self.done) / rate:.0f} s left" if self.total and rate and self.done < self.total else ""
        )
        return f"{self.label}: {human(self.done, self.unit)}{of}, {human(rate, self.unit)}/s{left}"


class Silent(Meter):
    """Counts and says nothing: of work that nobody waits for, e.g. a self-test."""

    def __init__(self) -> None:
        super().__init__("", None, "")

    def _show(self) -> None:
        """Nothing is shown."""


class _BarMeter(Meter):
    def __init__(self, label: str, total: float | None, unit: str, what: str, bars: Progress) -> None:
        super().__init__(label, total, unit, what)
        self._bars = bars
        self._task = bars.add_task(label, total=total, meter=self)

    def expect(self, total: float) -> None:
        super().expect(total)
        self._bars.update(self._task, total=total)

    def _show(self) -> None:
        self._bars.update(self._task, completed=self.done)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        meter: Meter = task.fields["meter"]
        of = f"/{human(task.total, meter.unit)}" if task.total else ""
        return Text(f"{human(task.completed, meter.unit)}{of}{meter.what}  {human(meter.rate(), meter.unit)}/s")


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
    whole = Column(no_wrap=True)  # in a narrow terminal the bar gives way
    columns = (TextColumn("{task.description:<14}"), BarColumn(), _Rate(whole), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        meter = _BarMeter(label, total, unit, what, bars)
        yield meter
    console.print(_closing(meter), highlight=False, markup=False)


def _closing(meter: Meter) -> str:
    elapsed = max(time.monotonic() - meter.started, 1e-9)
    done, rate, compiled_s = human(meter.done, meter.unit), human(meter.rate(), meter.unit), meter.compiled_s()
    compiling = f", {compiled_s:.1f} s of it compiling kernels, once for all runs" if compiled_s >= SHOWN_S else ""
    return f"{meter.label}: {done}{meter.what} in {elapsed:.1f} s{compiling} ({rate}/s)"


def human(amount: float | None, unit: str = "") -> str:
    """Return an amount with a decimal prefix: `19.8 MB`, `3.1k docs`, `12 docs`, `1 doc`."""
    if amount is None:
        return "?"
    if amount == 1:
        unit = unit.removesuffix("s")
    for prefix in UNITS:
        if abs(amount) < 1000 or prefix == UNITS[-1]:
            digits = 0 if prefix == "" and (amount >= 100 or amount == int(amount)) else 1
            named = f"{prefix} {unit}" if unit.islower() else f" {prefix}{unit}"  # a word, or the symbol of a unit
            return f"{amount:.{digits}f}{named}".rstrip()
        amount /= 1000
    raise AssertionError(amount)
