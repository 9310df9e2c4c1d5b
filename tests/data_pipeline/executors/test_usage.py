"""What the workers took: the one that did the work has the memory and the time, an idle one what it holds."""

from __future__ import annotations

from data_pipeline.executors.executor import Executor
from data_pipeline.executors.local import Local
from data_pipeline.executors.usage import Usage
from foundation.memory import reset_peak

LARGE = 150_000_000


def test_usages_of_one_process_add_up() -> None:
    first, then = Usage(900, 300, 1.5), Usage(400, 350, 0.25)
    assert first + then == Usage(900, 350, 1.75)
    assert (first + then).idle() == Usage(350, 350, 0.0)


def test_each_worker_tells_what_it_took_since_the_last_time() -> None:
    grow, spin = f"len(b'x' * {LARGE})", "sum(range(20_000_000))"
    with Local(workers=2) as executor:
        assert executor.take_usage() == []  # none has begun
        list(executor.map(eval, [grow, spin]))
        large, busy = sorted(executor.take_usage(), key=lambda usage: usage.peak_bytes, reverse=True)
        assert large.peak_bytes >= busy.peak_bytes + 0.9 * LARGE
        assert large.held_bytes <= large.peak_bytes - 0.9 * LARGE or not reset_peak()
        assert busy.cpu_s > 0.05
        idle = executor.take_usage()
        assert [each.cpu_s for each in idle] == [0.0, 0.0]
        assert {each.peak_bytes for each in idle} == {large.held_bytes, busy.held_bytes}
        list(executor.map(eval, ["1"]))
        again = executor.take_usage()
        assert max(each.peak_bytes for each in again) < large.peak_bytes or not reset_peak()
    assert executor.take_usage() == []


def test_an_executor_whose_workers_are_elsewhere_tells_of_none() -> None:
    with Local(workers=1) as executor:
        assert Executor.take_usage(executor) == executor.take_usage() == []
