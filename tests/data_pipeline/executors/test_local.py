"""Order, laziness, errors and deaths of the local executor."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from data_pipeline.executors.executor import WorkerDied
from data_pipeline.executors.local import AHEAD, Local
from data_pipeline.executors.worker import WorkerError, portable
from foundation.cores import usable_cores
from foundation.errors import InputError, SettingError

SCRIPT = """
import os, sys, time
from data_pipeline.executors.local import Local
def nap(path):
    open(path, "w").write(str(os.getpid()))
    time.sleep(600)
if __name__ == "__main__":
    with Local(workers=2) as executor:
        list(executor.map(nap, sys.argv[1:]))
"""


class Unpicklable(Exception):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


def end_oneself(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(10)


def test_results_come_in_order_with_any_number_of_workers() -> None:
    expected = [str(number) for number in range(40)]
    for workers in (1, 2, 3):
        with Local(workers=workers) as executor:
            assert list(executor.map(str, range(40))) == expected
            assert list(executor.map(abs, [-3])) == [3]  # a second function on the same workers
            assert list(executor.map(abs, [])) == []


def test_no_more_workers_are_started_than_there_are_items() -> None:
    def num_children() -> int:
        return len(multiprocessing.active_children()) - before

    before = len(multiprocessing.active_children())
    with Local(workers=3) as executor:
        assert list(executor.map(abs, [])) == [] and num_children() == 0
        assert list(executor.map(abs, [-1])) == [1] and num_children() == 1
        assert list(executor.map(abs, [-1])) == [1] and num_children() == 1
        assert list(executor.map(abs, [-1, -2])) == [1, 2] and num_children() <= 2
        assert list(executor.map(time.sleep, [0.5] * 9)) == [None] * 9 and num_children() == 3
    assert num_children() == 0


def test_a_slow_item_does_not_lose_its_place() -> None:
    commands = [f"sleep {0.4 if number == 0 else 0}; echo {number}" for number in range(8)]
    with Local(workers=2) as executor:
        assert list(executor.map(subprocess.getoutput, commands)) == [str(number) for number in range(8)]


def test_items_are_drawn_only_as_workers_become_free() -> None:
    drawn = 0

    def items() -> Iterator[float]:
        nonlocal drawn
        for number in range(5000):
            drawn += 1
            yield 0.5 if number == 0 else 0.0  # while the first is worked on, the others could run far ahead

    with Local(workers=2) as executor:
        results = executor.map(time.sleep, items())
        next(results)
        assert drawn <= AHEAD * 2 + 2
        results.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_keeps_its_type_and_message(workers: int) -> None:
    with Local(workers=workers) as executor:
        with pytest.raises(ValueError, match=r"invalid literal for int.*'x'") as caught:
            list(executor.map(int, ["1", "2", "x", "3"]))
        if workers > 1:  # where it was raised is told, too
            assert any("in a worker process" in note and "ValueError" in note for note in caught.value.__notes__)
        assert list(executor.map(int, ["7"])) == [7]  # it can be used again


def test_what_workers_still_did_at_an_error_is_no_answer_to_the_next_call() -> None:
    with Local(workers=2) as executor:
        with pytest.raises(ZeroDivisionError):
            list(executor.map(eval, ["1 / 0", "__import__('time').sleep(0.5) or 'late'"]))
        assert list(executor.map(eval, ["7", "8", "9"])) == [7, 8, 9]


def test_an_error_of_the_items_themselves_is_raised() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise InputError("file.gz: ends early")

    with Local(workers=2) as executor, pytest.raises(InputError, match=r"file\.gz: ends early"):
        list(executor.map(abs, items()))


def test_an_error_that_cannot_travel_keeps_its_words() -> None:
    copy = portable(Unpicklable("no", "way"))
    assert type(copy) is WorkerError
    assert str(copy) == "Unpicklable: no way"
    assert type(portable(KeyError("x"))) is KeyError


def test_a_killed_worker_is_a_clear_error() -> None:
    with Local(workers=2) as executor, pytest.raises(WorkerDied, match=r"SIGKILL.*memory.*run the same command again"):
        list(executor.map(signal.raise_signal, [signal.SIGKILL]))
    with Local(workers=2) as executor, pytest.raises(WorkerDied, match="exit code 7"):
        list(executor.map(os._exit, [7]))


def test_a_worker_that_died_between_two_calls_is_a_clear_error() -> None:
    with Local(workers=2) as executor:
        workers = set(executor.map(eval, ["__import__('os').getpid()"] * 8))
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        _until(lambda: not any(_alive(worker) for worker in workers), 10.0)
        with pytest.raises(WorkerDied, match="SIGKILL"):
            list(executor.map(abs, [1, 2, 3]))
        assert list(executor.map(abs, [-1])) == [1]  # new ones


def test_a_setting_that_cannot_work_is_refused_by_its_key() -> None:
    with pytest.raises(SettingError, match=r"^workers: -1 "):
        Local(workers=-1)
    assert Local().num_workers() == usable_cores() >= 1


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_worker_outlives_its_parent(tmp_path: Path, sent: signal.Signals) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    marks = [tmp_path / "a", tmp_path / "b"]
    parent = subprocess.Popen([sys.executable, str(script), *map(str, marks)], stderr=subprocess.DEVNULL)
    _until(lambda: all(mark.exists() and mark.read_text() for mark in marks), 60.0)
    workers = [int(mark.read_text()) for mark in marks]
    parent.send_signal(sent)
    assert parent.wait(timeout=10) != 0
    _until(lambda: not any(_alive(worker) for worker in workers), 10.0)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process}/stat")
    return not (status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] == "Z")


def _until(condition: Callable[[], bool], limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "took too long"
        time.sleep(0.02)


def test_a_worker_ended_by_a_real_time_signal_is_named_by_its_number() -> None:
    with Local(workers=2) as executor, pytest.raises(WorkerDied, match=f"was ended by signal {signal.SIGRTMIN + 1}"):
        list(executor.map(end_oneself, [int(signal.SIGRTMIN) + 1] * 2))
