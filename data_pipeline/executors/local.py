"""Processes of this machine, by spawn: forking a process that has threads (Arrow's, the tokenizer's) can hang."""

from __future__ import annotations

import multiprocessing
import pickle
import signal
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from typing import Any

from data_pipeline.executors.executor import Executor, Item, Result, WorkerDied
from data_pipeline.executors.usage import Usage
from data_pipeline.executors.worker import work
from foundation.cores import usable_cores
from foundation.errors import require
from foundation.progress import set_aside

AHEAD = 4  # finished results a worker may be ahead of the slowest item: results are small, items are not


class Local(Executor):
    """Worker processes on this machine; one worker means this process itself.

    Args:
        workers: number of worker processes; 0 takes one for each core this process may use.
    Raises:
        SettingError: it is negative.
    """

    def __init__(self, workers: int = 0) -> None:
        require(workers >= 0, "workers", workers, "a number of processes, or 0 for all cores")
        self.workers = workers
        self._pool: list[_Worker] = []

    def num_workers(self) -> int:
        """Return how many items are worked on at the same time."""
        return self.workers or usable_cores()

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        if self.num_workers() == 1:
            for item in items:
                yield function(item)
            return
        finished = False
        try:
            yield from _Call(self._pool, self.num_workers(), function, iter(items)).results()
            finished = True
        finally:
            if not finished:  # an error, or the caller stopped early: what the workers still do is of no use
                self.close()

    def take_usage(self) -> list[Usage]:
        taken = [worker.usage for worker in self._pool]
        for worker in self._pool:
            worker.usage = worker.usage.idle()
        return taken

    def close(self) -> None:
        for worker in self._pool:
            worker.end()
        self._pool = []


class _Worker:
    def __init__(self) -> None:
        self.usage = Usage()
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=work, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()  # so that the pipe ends when the worker does

    def end(self) -> None:
        self.process.kill()  # files are written beside their place and renamed: there is nothing to tidy up
        self.process.join()
        self.pipe.close()


class _Call:
    """One `map`: gives an item to each idle worker, keeps results until their turn.

    Workers are started as items come and none is idle: a start is half a second of imports, and its memory stays.

    Args:
        pool: the workers started so far, all idle; receives those that are started.
        most_workers: how many it may hold.
        function: what each item is given to.
        items: read as workers become free.
    """

    def __init__(
        self, pool: list[_Worker], most_workers: int, function: Callable[[Any], Any], items: Iterator[Any]
    ) -> None:
        self._pool, self._most_workers = pool, most_workers
        self._idle = list(reversed(pool))
        self._busy: dict[connection.Connection, tuple[int, _Worker]] = {}
        self._function = function
        self._knows_function: set[int] = set()
        self._items = enumerate(items)
        self._next: tuple[int, Any] | None = None
        self._most_ahead = AHEAD * most_workers
        self._results: dict[int, tuple[bool, Any]] = {}
        self._compiled_s: dict[int, float] = {}  # by worker

    def results(self) -> Iterator[Any]:
        turn = 0
        self._draw()
        while self._next is not None or self._busy or self._results:
            self._give(turn)
            if turn not in self._results:
                self._wait()
                continue
            ok, value = self._results.pop(turn)
            if not ok:
                raise value
            turn += 1
            yield value

    def _draw(self) -> None:
        """Hold one item ready, so that its reading overlaps with the work on the ones before."""
        self._next = next(self._items, None)

    def _give(self, turn: int) -> None:
        while self._next is not None and self._next[0] - turn < self._most_ahead:
            if not self._idle and len(self._pool) == self._most_workers:
                return
            worker, (number, item) = self._idle.pop() if self._idle else self._start_worker(), self._next
            self._send(worker, item)
            self._busy[worker.pipe] = (number, worker)
            self._draw()

    def _start_worker(self) -> _Worker:
        worker = _Worker()
        self._pool.append(worker)
        return worker

    def _send(self, worker: _Worker, item: Any) -> None:
        new = id(worker) not in self._knows_function
        message = pickle.dumps((self._function if new else None, item), protocol=pickle.HIGHEST_PROTOCOL)
        self._knows_function.add(id(worker))
        try:
            worker.pipe.send_bytes(message)
        except (BrokenPipeError, ConnectionResetError):
            raise _died(worker) from None

    def _wait(self) -> None:
        for pipe in connection.wait(list(self._busy)):
            assert isinstance(pipe, connection.Connection)
            number, worker = self._busy.pop(pipe)
            try:
                ok, value, compiled_s, usage = pickle.loads(pipe.recv_bytes())
            except (EOFError, ConnectionResetError):
                raise _died(worker) from None
            self._results[number] = ok, value
            worker.usage += usage
            self._set_aside(worker, compiled_s)
            self._idle.append(worker)

    def _set_aside(self, worker: _Worker, compiled_s: float) -> None:
        """Set aside what compiling took. Workers compile at the same time: of all it is that of the slowest."""
        before = max(self._compiled_s.values(), default=0.0)
        self._compiled_s[id(worker)] = self._compiled_s.get(id(worker), 0.0) + compiled_s
        set_aside(max(self._compiled_s.values()) - before)


def _died(worker: _Worker) -> WorkerDied:
    worker.process.join(timeout=5.0)
    code = worker.process.exitcode
    if code is not None and code < 0:
        how = f"was ended by {_signal_name(-code)}"
    else:
        how = f"ended by itself with exit code {code}"
    hint = " (often the kernel, when memory runs out)" if code == -signal.SIGKILL else ""
    return WorkerDied(
        f"a worker process {how}{hint}; what was finished is kept: run the same command again, "
        "with a smaller executor.workers or partition_bytes if memory ran out"
    )


def _signal_name(number: int) -> str:
    """Return e.g. SIGKILL; the real-time signals have no names."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
