"""What a worker process of `Local` does: receive a function, then items; answer each with its result or its error."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from multiprocessing import connection
from typing import Any

from data_pipeline.executors.libraries import prepare_libraries
from data_pipeline.executors.usage import Watched
from foundation.progress import aside_s

PR_SET_PDEATHSIG = 1  # linux/prctl.h

# One thread a worker: there is a worker for every core already. Read by the libraries when they start their pools.
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), "1")


class WorkerError(RuntimeError):
    """Stands for a worker's exception that can't be pickled; holds its type and message."""


def work(pipe: connection.Connection) -> None:
    """Serve until the parent closes the pipe.

    In come pickled (function | None, item), out go pickled (ok, value, seconds that compiling took on the way, Usage).
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends its workers itself
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ.update(THREADS)
    die_with_parent()
    function: Callable[[Any], Any] | None = None
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            function = _answer(pipe, pipe.recv_bytes(), function)


def _answer(
    pipe: connection.Connection, message: bytes, function: Callable[[Any], Any] | None
) -> Callable[[Any], Any] | None:
    before_s, watched = aside_s(), Watched()
    try:
        new_function, item = pickle.loads(message)
        function = new_function or function
        assert function is not None
        prepare_libraries()  # now that the function is here, and with it numba if it needs it
        value = function(item)
        answer = pickle.dumps((True, value, aside_s() - before_s, watched.usage()), protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        answer = pickle.dumps((False, portable(error), aside_s() - before_s, watched.usage()))
    pipe.send_bytes(answer)
    return function


def portable(error: Exception) -> Exception:
    """Return the error, its traceback as a note, when it survives pickling, else a WorkerError of its text."""
    error.add_note("in a worker process:\n" + "".join(traceback.format_exception(error)))
    try:
        copy = pickle.loads(pickle.dumps(error))
        if type(copy) is type(error) and str(copy) == str(error):
            return error
    except Exception:
        pass  # whatever failed, it means the same: this error can't travel
    substitute = WorkerError(f"{type(error).__name__}: {error}")
    substitute.__notes__ = list(error.__notes__)
    return substitute


def die_with_parent() -> None:
    """Never outlive the parent: a worker that goes on writing would meet the workers of the next run."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_leave_after, args=(parent.sentinel,), daemon=True).start()
    if sys.platform == "linux":  # at once, even while native code holds the interpreter's lock
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _leave_after(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
