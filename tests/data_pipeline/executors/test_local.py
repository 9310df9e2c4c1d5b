"""Order, laziness, errors and deaths of the local executor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from data_pipeline.executors.executor import WorkerDied
from data_pipeline.executors.local import Local, usable_cores
from data_pipeline.executors.worker import WorkerError, portable
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


def test_results_come_in_order_with_any_number_of_workers() -> None:
    expected = [str(number) for number in range(40)]
    for workers in (1, 2, 3):
        with Local(workers=workers) as executor:
            assert list(executor.map(str, range(40))) == expected
            assert list(executor.map(abs, [-3])) == [3]  # a second function on the same workers
            assert list(executor.map(abs, [])) == []


def test_items_are_drawn_only_as_workers_become_free() -> None:
    drawn = 0

    def items() -> Iterator[float]:
        nonlocal drawn
        for _ in range(1000):
            drawn += 1
            yield 0.0

    with Local(workers=2) as executor:
        results = executor.map(time.sleep, items())
        next(results)
        assert drawn <= 4 * 2 + 2
        results.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_keeps_its_type_and_message(workers: int) -> None:
    with Local(workers=workers) as executor:
        with pytest.raises(ValueError, match=r"invalid literal for int.*'x'"):
            list(executor.map(int, ["1", "2", "x", "3"]))
        assert list(executor.map(int, ["7"])) == [7]  # it can be used again


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
