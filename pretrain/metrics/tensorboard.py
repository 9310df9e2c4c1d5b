"""TensorBoard, in a child process (child.py): tensorboard_child/__main__.py."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pretrain.metrics.child import Child
from pretrain.seats import Logger

MODULE = "pretrain.metrics.tensorboard_child"
FOLDER, LOG, PACKAGE = "tensorboard", "tensorboard.log", "tensorboard"


class TensorBoard(Logger):
    """Writes every line as events for TensorBoard: numbers, histograms, texts, points of the projector.

    They lie in runs/<run_name>/tensorboard/, to be opened with `tensorboard --logdir runs`. Whatever goes wrong is said
    once and the run goes on.

    Args:
        run_dir: of the run.
        queue_lines: lines that may wait for the child; more are dropped and counted.
        close_timeout_s: how long the end of a run waits for the last lines; the child goes on alone after.
    Raises:
        SettingError: a number that can't be.
    """

    def __init__(self, run_dir: Path, queue_lines: int = 10_000, close_timeout_s: float = 30.0) -> None:
        greeting = {"folder": str((run_dir / FOLDER).absolute())}
        self._child = Child("tensorboard", MODULE, greeting, run_dir / LOG, queue_lines, close_timeout_s)
        self._is_there: bool | None = None

    @property
    def num_dropped(self) -> int:
        """Lines that were dropped because the child did not keep up."""
        return self._child.num_dropped

    def log(self, line: dict[str, Any]) -> None:
        if self._installed():
            self._child.send({"line": line})

    def show(self, name: str, line: dict[str, Any]) -> None:
        if self._installed():
            self._child.send({"show": name, "line": line})

    def close(self, status: str) -> None:
        self._child.close(status)

    def _installed(self) -> bool:
        """Return whether the package is there, and say so once where it isn't; looked for at the first line."""
        if self._is_there is None:
            found = find_spec(PACKAGE)
            self._is_there = found is not None and found.origin is not None  # without one it is a folder of that name
            if not self._is_there:
                self._child.say(
                    f"logger.loggers.tensorboard needs the package {PACKAGE}; pip install -e '.[tensorboard]', or take "
                    "it away: ~logger.loggers.tensorboard; training goes on without it"
                )
        return self._is_there
