"""Runs of the pipeline in processes of their own, that are killed at a moment of a test's choice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SCRIPT = """
import json, os, signal, sys
from data_pipeline.pipeline import check_config, run
from foundation.errors import GroundworkError

def kill_at_removal(event, arguments):
    if event == (sys.argv[3:] or ["os.remove"])[0] and str(arguments[0]).startswith(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.addaudithook(kill_at_removal)
    try:
        result = run(**check_config(json.loads(sys.argv[1])))
    except GroundworkError as error:
        sys.exit(f"error: {error}")
    print(json.dumps([stage.name for stage in result.stages if stage.redone]))
"""


def write_script(folder: Path) -> Path:
    """Write what `start` runs."""
    path = folder / "pipe.py"
    path.write_text(SCRIPT)
    return path


def start(script: Path, tree: dict[str, Any], *more: str) -> subprocess.Popen[str]:
    """Start a run; more: a folder, at the first removal of a file of which (or the audited event named behind it) the
    process kills itself."""
    command = [sys.executable, str(script), json.dumps(tree), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def finish(process: subprocess.Popen[str]) -> list[str]:
    """Wait for a run to end well; return the stages it did."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return list(json.loads(out))


def kill_when(process: subprocess.Popen[str], condition: Callable[[], bool]) -> bool:
    """SIGKILL the run and its workers at the moment the condition holds; return False when it ended before."""
    deadline = time.monotonic() + 120
    while not condition():
        if process.poll() is not None:
            return False
        assert time.monotonic() < deadline
        time.sleep(0.0005)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return True
