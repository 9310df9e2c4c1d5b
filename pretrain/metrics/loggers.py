"""The simplest seats of logger: none, and several."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Iterator
from typing import Any

from pretrain.seats import Logger


class NoLogger(Logger):
    """Says nothing. metrics.jsonl is written all the same."""

    def log(self, line: dict[str, Any]) -> None:
        pass

    def close(self, status: str) -> None:
        pass


class Loggers(Logger):
    """Several loggers by name, so that one can be taken away: `~logger.loggers.wandb`.

    One that raises gets no more lines: what is watched goes on. Its error is said once.

    Args:
        loggers: name -> logger; each gets every line.
    """

    def __init__(self, loggers: dict[str, Logger]) -> None:
        self._loggers = loggers
        self._failed: set[str] = set()

    def start(self, step: int) -> None:
        for name, logger in self._loggers.items():
            with self._said(name):
                logger.start(step)

    def log(self, line: dict[str, Any]) -> None:
        for name, logger in self._loggers.items():
            if name not in self._failed:
                with self._said(name):
                    logger.log(line)

    def show(self, name: str, line: dict[str, Any]) -> None:
        for key, logger in self._loggers.items():
            if key not in self._failed:
                with self._said(key):
                    logger.show(name, line)

    def close(self, status: str) -> None:
        for name, logger in self._loggers.items():
            with self._said(name):
                logger.close(status)

    @contextlib.contextmanager
    def _said(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # whatever it is: the run must not end by it
            if name not in self._failed:
                at = traceback.extract_tb(error.__traceback__)[-1]
                said = f"{type(error).__name__}: {error} ({at.filename}:{at.lineno})"
                print(f"logger.loggers.{name}: {said}; it gets no more lines", file=sys.stderr, flush=True)
            self._failed.add(name)
