"""Runs of the pipeline in processes of their own, that are killed at a moment of a test's choice."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lines import Line, Lines, one_thread

SCRIPT = """
import json, os, signal, sys

def kill_at_removal(event, arguments):
    if event == (sys.argv[3:] or ["os.remove"])[0] and str(arguments[0]).startswith(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    # not above: workers import this file, and need no more of the pipeline than their work does
    from data_pipeline.pipeline import check_config, run
    from foundation.errors import GroundworkError

    if len(sys.argv) > 2:
        sys.addaudithook(kill_at_removal)
    try:
        result = run(**check_config(json.loads(sys.argv[1])))
    except GroundworkError as error:
        sys.exit(f"error: {error}")
    print(json.dumps([stage.name for stage in result.stages if stage.redone]))
"""
# a group of its own, with its workers; all of them hold this lock as long as they live
BEFORE = "import fcntl; os.setsid(); fcntl.flock(1, fcntl.LOCK_EX)"


@dataclass
class Runs:
    """Starts runs of the pipeline, forked from a process that has imported it. Attributes: folder: for the script."""

    typed: Lines
    folder: Path

    def __post_init__(self) -> None:
        (self.folder / "pipe.py").write_text(SCRIPT)

    def start(self, tree: dict[str, Any], *more: str, before: str = "") -> Line:
        """Start a run.

        Args:
            more: a folder, at the first removal of a file of which (or the audited event named behind it) the process
                kills itself.
            before: Python that runs in it first.
        """
        arguments, before = [json.dumps(tree), *more], f"{BEFORE}\n{before}"
        return self.typed.start(self.folder / "pipe.py", arguments, self.folder, one_thread(), before=before)

    def finish(self, tree: dict[str, Any]) -> list[str]:
        """Do a run that ends well; return the stages it did."""
        code, text = ended(self.start(tree))
        assert code == 0, text
        return list(json.loads(text.splitlines()[-1]))


def ended(run: Line) -> tuple[int, str]:
    """Wait for the end of a run and of its workers; return the exit code and what it printed."""
    code, _ = run.wait()
    with run.output.open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        return code, file.read()


def kill_when(run: Line, condition: Callable[[], bool]) -> bool:
    """SIGKILL the run and its workers at the moment the condition holds; return False when it ended before."""
    (process,) = run.ranks
    assert process.pid is not None
    deadline = time.monotonic() + 240
    while not condition():
        if process.exitcode is not None:
            return False
        assert time.monotonic() < deadline
        time.sleep(0.0005)
    while not _leads_its_group(process.pid):
        if process.exitcode is not None:
            return False
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    ended(run)
    return True


def _leads_its_group(pid: int) -> bool:
    try:
        return os.getpgid(pid) == pid
    except ProcessLookupError:  # it has ended
        return False
