"""The seat of every executor: it runs functions over items and knows nothing of what is in them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TypeVar

from data_pipeline.executors.usage import Usage
from foundation.errors import GroundworkError

Item = TypeVar("Item")
Result = TypeVar("Result")


class WorkerDied(GroundworkError):
    """A worker process ended without an answer: killed from outside, or it crashed in native code."""


class Executor(ABC):
    """Runs pure functions, here or elsewhere. Used in a `with`: leaving it ends whatever was started."""

    @abstractmethod
    def num_workers(self) -> int:
        """Return how many items are worked on at the same time."""

    @abstractmethod
    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield `function(item)` for each item, in the order of the items.

        `items` is drawn from lazily, only as workers become free, so that memory stays bounded. One call at a time:
        the next begins when this one is exhausted.

        Args:
            function: picklable; sent to each worker once, so it may carry large arrays.
            items: picklable; an error of the iterator itself is raised here.
        Raises:
            WorkerDied: a worker ended without an answer; says how.
            Exception: whatever `function` raised first (by the order of the items), with its own type and message.
        """

    @abstractmethod
    def close(self) -> None:
        """End the workers at once; a later `map` starts new ones."""

    def take_usage(self) -> list[Usage]:
        """Return what each worker process took since the last call; of none where they are not this machine's."""
        return []

    def __enter__(self) -> Executor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
