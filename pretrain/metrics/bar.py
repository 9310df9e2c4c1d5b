"""A bar at the foot of a terminal: how far the run is, between two lines of the console as well."""

from __future__ import annotations

import contextlib
import sys

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column

REFRESHES_PER_S = 2.0  # a drawing takes a millisecond or two of the interpreter, which the loop needs as well


class Bar:
    """Stays under all that is printed while it is shown; nothing of it is left afterwards.

    Where stdout is no terminal it shows nothing.

    Args:
        max_steps: length of the run.
    """

    def __init__(self, max_steps: int) -> None:
        self._max_steps = max_steps
        self._bars: Progress | None = None
        self._task = TaskID(0)

    @property
    def is_shown(self) -> bool:
        """Whether anybody sees it."""
        return self._bars is not None

    def start(self, step: int) -> None:
        """Show it, at `step` steps."""
        console = Console()
        if not console.is_terminal or console.is_dumb_terminal:
            return
        whole = Column(no_wrap=True)  # in a narrow terminal the bar gives way
        told = TextColumn(
            "{task.completed:,.0f}/{task.total:,}  {task.percentage:.0f} %  {task.fields[told]}", table_column=whole
        )
        self._bars = Progress(
            *(BarColumn(40), told),
            console=console,
            transient=True,
            refresh_per_second=REFRESHES_PER_S,
            redirect_stderr=sys.stderr.isatty(),  # else it would go to the terminal in place of where it is sent
        )
        self._task = self._bars.add_task("", total=self._max_steps, completed=step, told="")
        self._bars.start()
        console.show_cursor(True)  # a run that is killed must not leave the terminal without one

    def move(self, step: int, told: str) -> None:
        """Take that `step` steps are done; `told` stands beside it."""
        if self._bars is not None:
            self._bars.update(self._task, completed=step, told=told)

    def stop(self) -> None:
        """Take it away."""
        if self._bars is not None:
            with contextlib.suppress(OSError, ValueError):  # the terminal is gone
                self._bars.stop()
            self._bars = None
