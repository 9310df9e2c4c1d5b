"""The simplest seats of logger: none, and several."""

from __future__ import annotations

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

    Args:
        loggers: name -> logger; each gets every line.
    """

    def __init__(self, loggers: dict[str, Logger]) -> None:
        self._loggers = list(loggers.values())

    def log(self, line: dict[str, Any]) -> None:
        for logger in self._loggers:
            logger.log(line)

    def close(self, status: str) -> None:
        for logger in self._loggers:
            logger.close(status)
