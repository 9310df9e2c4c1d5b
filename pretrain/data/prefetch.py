"""Reading ahead: one thread prepares the next few steps while the current one computes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class _Failed:
    error: Exception


class Prefetcher(Generic[Item]):
    """Gives `read(step)` for any step, and has the steps that follow it ready.

    `read` is a pure function of its step, so reading ahead changes when an item is made and never what it is: after a
    jump (resume, rewind, skipped steps) the window simply moves, and what lies outside it is dropped.

    Args:
        read: called in the thread, one step at a time.
        ahead_steps: how many steps to hold ready; 0 reads in the caller's thread and starts none.
    """

    def __init__(self, read: Callable[[int], Item], ahead_steps: int) -> None:
        self._read, self._ahead_steps = read, ahead_steps
        self._first = 0  # the window of wanted steps is [first, first + ahead)
        self._ready: dict[int, Item | _Failed] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def get(self, step: int) -> Item:
        """Return `read(step)`.

        Raises:
            Exception: what `read` raised for this step, with its traceback; another call tries again.
        """
        assert not self._closed
        if self._ahead_steps == 0:
            return self._read(step)
        with self._changed:
            self._move(step)
            self._start()
            self._changed.wait_for(lambda: step in self._ready)
            item = self._ready.pop(step)
            self._move(step + 1)
        if isinstance(item, _Failed):
            raise item.error
        return item

    def close(self) -> None:
        """Stop after the step that is being read, and wait for the thread to end. A second call does nothing."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _move(self, first: int) -> None:
        self._first = first
        self._ready = {step: item for step, item in self._ready.items() if self._wanted(step)}
        self._changed.notify_all()

    def _start(self) -> None:
        if self._thread is None:
            # A daemon: an exception that leaves the loop without close() must not keep the process alive.
            self._thread = threading.Thread(target=self._run, name="groundwork-prefetch", daemon=True)
            self._thread.start()

    def _wanted(self, step: int) -> bool:
        return self._first <= step < self._first + self._ahead_steps

    def _next_missing(self) -> int | None:
        window = range(self._first, self._first + self._ahead_steps)
        return next((step for step in window if step not in self._ready), None)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._next_missing() is not None)
                if self._closed:
                    return
                step = self._next_missing()
                assert step is not None
            item = self._read_or_fail(step)
            with self._changed:
                if self._wanted(step):
                    self._ready[step] = item
                    self._changed.notify_all()

    def _read_or_fail(self, step: int) -> Item | _Failed:
        try:
            return self._read(step)
        except Exception as error:  # handed to the caller of get(), who knows what to do with it
            return _Failed(error)
