"""One run of the pipeline in a process of its own: what it holds in memory is then its own, and gone afterwards."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from multiprocessing import connection
from pathlib import Path
from typing import Any

from data_pipeline.executors.libraries import prepare_libraries
from data_pipeline.executors.worker import die_with_parent, portable
from data_pipeline.pipeline import Result, run
from data_pipeline.preflight.voice import prefixed
from foundation.errors import GroundworkError


class ProbeDied(GroundworkError):
    """The process of a probe ended without an answer."""


def run_apart(arguments: dict[str, Any], label: str) -> Result:
    """Run the pipeline in another process.

    Args:
        arguments: of `pipeline.run`.
        label: before each line that it says; lines that name its output folder, which won't stay, are left out.
    Raises:
        ProbeDied: it was killed, or crashed.
        Exception: whatever the run raised.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, list(sys.path)))  # no daemon: it has workers of its own
    process.start()
    theirs.close()
    try:
        ours.send((arguments, label))
        ok, answer = ours.recv()
    except (EOFError, ConnectionResetError, BrokenPipeError):
        process.join()
        code = process.exitcode
        hint = " (often the kernel, when memory runs out)" if code == -signal.SIGKILL else ""
        raise ProbeDied(
            f"preflight: the process of the {label} ended with exit code {code}{hint}; where memory ran out, set fewer "
            "executor.workers or smaller partition_bytes"
        ) from None
    finally:
        process.kill()  # its workers end with it
        process.join()
        ours.close()
    if not ok:
        raise answer
    result: Result = answer
    return result


def _serve(pipe: connection.Connection, path: list[str]) -> None:
    """Receive the arguments, run, answer with the result or the error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends this one itself
    die_with_parent()
    sys.path[:] = path
    arguments, label = pipe.recv()
    prepare_libraries()
    try:
        with prefixed(f"preflight: {label}: ", hidden=str(Path(arguments["output_dir"]))):
            answer: tuple[bool, Result | Exception] = (True, run(**arguments))
    except Exception as error:
        answer = (False, portable(error))
    pipe.send(answer)
    pipe.close()
    os._exit(0)
